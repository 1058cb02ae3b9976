import { expect, test } from 'vitest';
import type { Ending, Export, HandlerResponse, Outcome } from '../api/types';
import { blankDraft } from './draft';
import { howToRaise, LIMITS } from './limits';
import { callText, type Result, type Run, sentenceOf, verdictOf, wallOf } from './run';

const SUM: Export = {
  name: 'sum',
  kind: 'function',
  about: '',
  params: [{ name: 'a', type: 's32', schema: { type: 'integer', minimum: 0, maximum: 255 } }],
  result: null,
};

const run = (result: Result): Run => ({
  id: 1,
  ref: 'r',
  label: 'sum.wat',
  target: SUM,
  draft: blankDraft(SUM, [7]),
  startedAt: 1000,
  endedAt: 1250,
  result,
});
const ended = (ending: Ending): Run => {
  const outcome: Outcome = {
    ending,
    usage: { numbers: { wall_us: 12 }, capabilities: {}, changes: null },
    call: 1,
    stdout: '',
    stderr: '',
  };
  return run({ state: 'outcome', outcome });
};
const failed = (exitCode: number | null): Ending => ({
  kind: 'failed',
  code: 'invalid-order',
  message: '',
  retryable: false,
  exit_code: exitCode,
  value: undefined,
});

test('every way to end has its word and its sentence', () => {
  const problem = { title: 'It is not there', detail: 'no `x`', advice: '', status: 404, kind: 'not_found' };
  const gone = { title: 'Gone', detail: 'no one', advice: '', status: null, kind: 'unreachable' };
  const response: HandlerResponse = {
    status: 404,
    statusText: '',
    headers: [],
    body: new Uint8Array(),
    end: 'whole',
    redirectedTo: null,
  };
  const cases: [Run, string, string][] = [
    [ended({ kind: 'returned', value: [1, 2] }), 'Returned', 'sum returned [1, 2] in 12 µs'],
    [ended(failed(3)), 'Failed', 'sum failed with exit code 3 in 12 µs'],
    [ended(failed(null)), 'Failed', 'sum failed with invalid-order in 12 µs'],
    [
      ended({ kind: 'trapped', code: 'c', message: 'unreachable executed', backtrace: [] }),
      'Trapped',
      'sum trapped: unreachable executed in 12 µs',
    ],
    [
      ended({ kind: 'exhausted', limit: 'deadline', allowed: 10, unit: 'ms' }),
      'Limit met',
      'sum met its limit deadline of 10 ms in 12 µs',
    ],
    [ended({ kind: 'cancelled' }), 'Cancelled', 'sum was cancelled in 12 µs'],
    [run({ state: 'running' }), 'Running', 'Running sum'],
    [run({ state: 'stopped' }), 'Stopped', 'sum was stopped'],
    [run({ state: 'problem', problem }), 'Not run', 'sum: not run. It is not there. no `x`'],
    [run({ state: 'problem', problem: gone }), 'No answer', 'sum: no answer. Gone. no one'],
    [run({ state: 'response', response }), '404', 'sum answered 404 in 250 ms'],
  ];
  for (const [given, word, sentence] of cases) {
    expect(verdictOf(given).word).toBe(word);
    expect(sentenceOf(given).replaceAll('\u00a0', ' ')).toBe(sentence);
  }
});

test('the time is the server’s where it says, else what the page saw', () => {
  expect(wallOf(ended({ kind: 'cancelled' }))).toBe(12);
  expect(wallOf(run({ state: 'stopped' }))).toBe(250_000);
  expect(wallOf({ ...run({ state: 'running' }), endedAt: null })).toBe(null);
});

test('a run is named by its call', () => {
  expect(callText(run({ state: 'running' }))).toBe('sum(7)');
  const command: Export = { name: '_start', kind: 'command' };
  const draft = { ...blankDraft(command), cli: [{ id: 1, text: '-v' }] };
  expect(callText({ ...run({ state: 'running' }), target: command, draft })).toBe('_start -v');
  const http: Export = { name: 'wasi:http/incoming-handler', kind: 'http' };
  expect(callText({ ...run({ state: 'running' }), target: http, draft: blankDraft(http) })).toBe('GET /');
});

test('every limit that can be raised here points to its field', () => {
  for (const { id } of LIMITS) {
    expect(howToRaise(id, 'function').id).toBe(id);
    expect(howToRaise(id, 'http').id).toBe(null);
  }
  expect(howToRaise('stack', 'function')).toEqual({ id: null, advice: expect.stringContaining('recursion') });
  expect(howToRaise('newer', 'command')).toEqual({ id: null, advice: expect.stringContaining('`newer`') });
});
