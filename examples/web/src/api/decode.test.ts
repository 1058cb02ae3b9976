import { expect, test } from 'vitest';
import { parseJson } from '../json/json';
import {
  decodeExamples,
  decodeGranted,
  decodeModule,
  decodeModules,
  decodeOutcome,
  decodeSecrets,
} from './decode';

test('a module with every kind of export and import', () => {
  const module = decodeModule(
    parseJson(`{
      "id": "sha256:ab", "name": "total", "version": 3, "size_bytes": 123, "kind": "component", "created": "now",
      "exports": [
        {"name": "sum", "kind": "function", "params": [{"name": "a", "type": "s32", "schema": {"type": "integer"}}],
         "result": {"type": "s32", "schema": {}}, "args_schema": {}},
        {"name": "quiet", "kind": "function", "about": "says nothing", "params": [], "result": null, "args_schema": {}},
        {"name": "_start", "kind": "command"},
        {"name": "weird", "kind": "unsupported", "reason": "v128"},
        {"name": "newer", "kind": "stream"}
      ],
      "imports": [
        {"name": "kv", "items": ["open", "[method]bucket.get"], "status": "missing", "about": "grant it", "advice": "grant",
         "capability": "kv"},
        {"name": "old", "status": "broken", "capability": "http"},
        {"name": "new", "status": "lent by the hour"}
      ],
      "added later": true
    }`),
  );
  expect(module).toMatchObject({ name: 'total', version: 3, size_bytes: 123, schemas_left_out: 0 });
  expect(module.exports).toEqual([
    {
      name: 'sum',
      kind: 'function',
      about: '',
      params: [{ name: 'a', type: 's32', schema: { type: 'integer' } }],
      result: { type: 's32' },
    },
    { name: 'quiet', kind: 'function', about: 'says nothing', params: [], result: null },
    { name: '_start', kind: 'command' },
    { name: 'weird', kind: 'unsupported', reason: 'v128' },
    { name: 'newer', kind: 'unsupported', reason: 'this page does not know the kind `stream`' },
  ]);
  expect(module.imports).toEqual([
    {
      name: 'kv',
      items: ['open', '[method]bucket.get'],
      status: 'missing',
      about: 'grant it',
      advice: 'grant',
      capability: 'kv',
    },
    { name: 'old', items: [], status: 'broken', about: '', advice: null, capability: 'http' },
    { name: 'new', items: [], status: 'missing', about: '', advice: null, capability: null },
  ]);
});

test('a module whose types are too many to send', () => {
  const module = decodeModule(
    parseJson(`{"id": "sha256:ab", "size_bytes": 1, "kind": "core", "created": "", "imports": [], "schemas_left_out": 7,
      "exports": [{"name": "f", "kind": "function", "params": [{"name": "a", "type": "s32"}], "result": {"type": "s32"}}]}`),
  );
  expect(module.schemas_left_out).toBe(7);
  expect(module.exports).toMatchObject([{ name: 'f', params: [{ name: 'a', type: 's32' }] }]);
});

test('lists, with and without a next page', () => {
  const one = '{"id": "sha256:ab", "size_bytes": 1, "kind": "core", "created": ""}';
  expect(decodeModules(parseJson(`{"modules": [${one}], "next": "c"}`))).toMatchObject({
    modules: [{ id: 'sha256:ab', name: null, version: null }],
    next: 'c',
  });
  expect(decodeModules(parseJson('{"modules": [], "next": null}'))).toEqual({ modules: [], next: null });
  expect(decodeExamples(parseJson('{"examples": [{"file": "a.wat", "title": "A"}]}'))).toEqual([
    { file: 'a.wat', title: 'A', about: '', function: null, args: null, name: null, grants: null },
  ]);
});

test('an example that works with grants says which, and the name to store it under', () => {
  const example = '{"file": "a.wasm", "title": "A", "name": "shop", "grants": {"kv": {"stores": {}}}}';
  expect(decodeExamples(parseJson(`{"examples": [${example}]}`))).toMatchObject([
    { name: 'shop', grants: { kv: { stores: {} } } },
  ]);
});

test('grants, with and without what other bytes had', () => {
  const read = (more: string) =>
    decodeGranted(
      parseJson(`{"name": "shop", "version": 2, "id": "sha256:ab", "grants": {}${more}}`),
      new Headers(),
    );
  expect(read('')).toEqual({
    name: 'shop',
    version: 2,
    id: 'sha256:ab',
    grants: {},
    broken: {},
    since: null,
    tag: null,
    before: null,
  });
  expect(read(', "broken": {"http": "no secret `A`", "kv": 1}').broken).toEqual({ http: 'no secret `A`' });
  const before =
    '{"version": 1, "id": "sha256:cd", "grants": {"kv": {"n": 9007199254740993}}, "since": "then"}';
  expect(read(`, "since": "now", "before": ${before}`)).toMatchObject({
    since: 'now',
    before: { version: 1, id: 'sha256:cd', grants: { kv: { n: 9007199254740993n } }, since: 'then' },
  });
  expect(() => read(', "before": {"version": 1}')).toThrow('expected a text in `id`');
});

test('the names of secrets', () => {
  expect(decodeSecrets(parseJson('{"secrets": ["API_KEY", "OTHER"]}'))).toEqual(['API_KEY', 'OTHER']);
  expect(() => decodeSecrets(parseJson('{}'))).toThrow('expected a list in `secrets`');
});

test('every ending', () => {
  const ending = (text: string) => decodeOutcome(parseJson(`{"ending": ${text}, "usage": {}}`)).ending;
  expect(ending('{"kind": "returned", "value": [1]}')).toEqual({ kind: 'returned', value: [1] });
  expect(
    ending('{"kind": "failed", "code": "exit", "message": "m", "retryable": true, "exit_code": 3}'),
  ).toEqual({
    kind: 'failed',
    code: 'exit',
    message: 'm',
    retryable: true,
    exit_code: 3,
    value: undefined,
  });
  expect(
    ending(
      '{"kind": "trapped", "code": "c", "message": "m", "backtrace": [{"function": "f", "offset": 1}, {}]}',
    ),
  ).toEqual({
    kind: 'trapped',
    code: 'c',
    message: 'm',
    backtrace: [
      { function: 'f', offset: 1 },
      { function: null, offset: null },
    ],
  });
  expect(ending('{"kind": "exhausted", "limit": "deadline", "allowed": 10, "unit": "ms"}')).toEqual({
    kind: 'exhausted',
    limit: 'deadline',
    allowed: 10,
    unit: 'ms',
  });
  expect(ending('{"kind": "cancelled"}')).toEqual({ kind: 'cancelled' });
});

test('an outcome has the call’s number, and its usage keeps the numbers it knows and those it does not', () => {
  const { call, usage } = decodeOutcome(
    parseJson(`{"call": 17, "ending": {"kind": "cancelled"}, "stdout": "out", "usage":
      {"wall_us": 12, "new_us": 3, "capabilities": {"kv": {"calls": 1, "bytes_in": 2, "bytes_out": 3}}}}`),
  );
  expect(call).toBe(17);
  expect(usage).toEqual({
    numbers: { wall_us: 12, new_us: 3 },
    capabilities: { kv: { calls: 1, bytes_in: 2, bytes_out: 3 } },
    changes: null,
  });
});

test('a capability’s own counts stand beside the common ones, and files say what was changed', () => {
  const fs = `{"calls": 9, "bytes_in": 0, "bytes_out": 3, "counts": {"committed_bytes": 3},
    "report": {"added": ["/data/a", 7], "removed": ["/data/b"], "unnamed": 2}}`;
  const { usage } = decodeOutcome(
    parseJson(`{"ending": {"kind": "returned"}, "usage": {"capabilities": {"fs": ${fs}}}}`),
  );
  expect(usage.capabilities).toEqual({ fs: { calls: 9, bytes_in: 0, bytes_out: 3, committed_bytes: 3 } });
  expect(usage.changes).toEqual({ added: ['/data/a'], changed: [], removed: ['/data/b'], unnamed: 2 });
  const kv = '{"calls": 1, "report": {"added": ["/a"]}}';
  const other = decodeOutcome(
    parseJson(`{"ending": {"kind": "returned"}, "usage": {"capabilities": {"kv": ${kv}}}}`),
  );
  expect(other.usage.changes).toBe(null);
});

test('an answer of another form says which part is not there', () => {
  expect(() => decodeModule(parseJson('{"id": "x"}'))).toThrow('expected a number in `size_bytes`');
  expect(() => decodeModules(parseJson('[]'))).toThrow('expected an object for the module list');
  expect(() => decodeOutcome(parseJson('{"ending": {"kind": "melted"}, "usage": {}}'))).toThrow('`melted`');
});
