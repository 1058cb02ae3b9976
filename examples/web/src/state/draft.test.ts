import { expect, test } from 'vitest';
import type { Export } from '../api/types';
import { blankDraft, callRequestOf, draftFaults, handlerRequestOf } from './draft';

const SUM: Export = {
  name: 'sum',
  kind: 'function',
  about: '',
  params: [
    { name: 'a', type: 's32', schema: { type: 'integer', minimum: -2147483648, maximum: 2147483647 } },
    {
      name: 'b',
      type: 's64',
      schema: { anyOf: [{ type: 'integer' }, { type: 'string', pattern: '^-?[0-9]+$' }] },
    },
  ],
  result: { type: 's64' },
};
const COMMAND: Export = { name: 'wasi:cli/run@0.2.6', kind: 'command' };
const HTTP: Export = { name: 'wasi:http/incoming-handler@0.2.6', kind: 'http' };

test('a function call sends its arguments and nothing that was not asked for', () => {
  expect(callRequestOf(SUM, blankDraft(SUM, [1, '9007199254740993']))).toEqual({
    function: 'sum',
    args: [1, '9007199254740993'],
  });
});

test('limits are sent in the units of the API', () => {
  const draft = {
    ...blankDraft(SUM, [1, 2]),
    limits: { deadline: '1500', memory: '0.5', output: '2', tables: '10', fuel: ' ' },
    fuel: true,
    seed: '42',
  };
  expect(callRequestOf(SUM, draft)).toMatchObject({
    limits: { deadline_ms: 1500, memory_bytes: 524_288, output_bytes: 2048, table_elements: 10 },
    metering: 'fuel',
    deterministic: { seed: 42 },
  });
});

test('a command sends arguments, environment and stdin', () => {
  const draft = {
    ...blankDraft(COMMAND),
    cli: [
      { id: 1, text: '-v' },
      { id: 2, text: '' },
    ],
    env: [
      { id: 3, key: 'K', value: 'V' },
      { id: 4, key: '', value: '' },
    ],
    stdin: 'hello',
  };
  expect(callRequestOf(COMMAND, draft)).toEqual({
    function: COMMAND.name,
    args_cli: ['-v', ''],
    env: { K: 'V' },
    stdin: 'hello',
  });
});

test('a limit on fuel is met by a call that counts it, and by no other', () => {
  const draft = blankDraft(SUM, [1, 2]);
  expect(callRequestOf(SUM, { ...draft, limits: { fuel: '10' } })).toMatchObject({
    limits: { fuel: 10 },
    metering: 'fuel',
  });
  expect(callRequestOf(SUM, { ...draft, limits: { fuel: ' ' } })).not.toHaveProperty('metering');
});

test('a variable has a name, and the name no sign that would end it', () => {
  const faults = (key: string, value: string) =>
    draftFaults(COMMAND, { ...blankDraft(COMMAND), env: [{ id: 1, key, value }] }).length;
  expect([faults('', ''), faults('A', ''), faults('A', '='), faults('A=', ''), faults('', 'x')]).toEqual([
    0, 0, 0, 1, 1,
  ]);
});

test('a handler’s request leaves out headers without a name', () => {
  const http = {
    method: 'POST',
    path: '/x',
    body: 'b',
    headers: [
      { id: 1, key: ' accept ', value: 'text/plain' },
      { id: 2, key: '', value: 'x' },
    ],
  };
  expect(handlerRequestOf({ ...blankDraft(HTTP), http })).toEqual({
    method: 'POST',
    path: '/x',
    body: 'b',
    headers: [['accept', 'text/plain']],
  });
});

test('what must be corrected first is found everywhere', () => {
  const good = blankDraft(SUM, [1, 2]);
  expect(draftFaults(SUM, good)).toEqual([]);
  expect(draftFaults(SUM, blankDraft(SUM))).toHaveLength(2);
  for (const deadline of ['-1', '0', '0.4', '1s', '1e3', '9'.repeat(20)]) {
    expect(draftFaults(SUM, { ...good, limits: { deadline } })).toHaveLength(1);
  }
  expect(draftFaults(SUM, { ...good, seed: '1.5' })).toHaveLength(1);
});

test('what a browser would change or leave out of a request is said before', () => {
  const faults = (path: string, key = '', value = '') => {
    const http = { ...blankDraft(HTTP).http, path, headers: [{ id: 1, key, value }] };
    return draftFaults(HTTP, { ...blankDraft(HTTP), http }).map(({ message }) => message);
  };
  for (const path of ['/', '', '/a.b/..c/...', '/a?up=../..'])
    expect([path, faults(path)]).toEqual([path, []]);
  for (const path of ['..', '/../call', '/a/./b', '/a/%2e%2E', '/.%2e/x']) {
    expect([path, faults(path)]).toEqual([path, [expect.stringContaining('does not send')]]);
  }
  const headers: [string, string, RegExp | null][] = [
    ['x-a', 'é', null],
    ['bad name', '', /Not a header name/],
    ['Host', 'x', /sets this header itself/],
    ['sec-fetch-mode', 'x', /sets this header itself/],
    ['Authorization', 'Bearer x', /does not pass it on/],
    ['x-a', '日本', /Latin/],
    ['x-a', 'two\nlines', /Latin/],
  ];
  for (const [key, value, fault] of headers) {
    const expected = fault === null ? [] : [expect.stringMatching(fault)];
    expect([key, value, faults('/', key, value)]).toEqual([key, value, expected]);
  }
});
