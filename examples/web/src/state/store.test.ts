import { expect, test } from 'vitest';
import type { Export, Granted, Import, Module } from '../api/types';
import { blankDraft } from './draft';
import type { Run } from './run';
import { type Event, initialState, labelOf, reduce, refOf, runInView, type State } from './store';

const SUM: Export = { name: 'sum', kind: 'function', about: '', params: [], result: null };
const module = (id: string, name: string | null = null, version: number | null = null): Module => ({
  id,
  name,
  version,
  size_bytes: 1,
  kind: 'core',
  created: '',
  exports: [SUM],
  imports: [],
  schemas_left_out: 0,
});
const run = (id: number, ref = 'a'): Run => ({
  id,
  ref,
  label: 'a.wat',
  target: SUM,
  draft: blankDraft(SUM),
  startedAt: id,
  endedAt: null,
  result: { state: 'running' },
});
const after = (...events: Event[]): State => events.reduce(reduce, initialState);

test('a module is asked for by its name and version, else by its digest', () => {
  expect(refOf(module('sha256:1'))).toBe('sha256:1');
  expect(refOf(module('sha256:1', 'total', 3))).toBe('total@3');
});

test('an added module comes first, once, and keeps the name of its file', () => {
  const state = after(
    { type: 'listed', modules: [module('a'), module('b')], next: null, fresh: true },
    { type: 'added', module: module('b'), label: 'b.wat' },
  );
  expect(state.modules.map(({ id }) => id)).toEqual(['b', 'a']);
  expect(labelOf(state, module('b'))).toBe('b.wat');
  expect(labelOf(state, module(`sha256:${'ab'.repeat(32)}`))).toBe('sha256:abababab');
  expect(labelOf(state, module('b', 'total', 3))).toBe('total@3');
  expect(state.details.b).toEqual({ state: 'ready', value: module('b') });
});

test('the next page is added below; a module that moved between pages is not shown twice', () => {
  const state = after(
    { type: 'listed', modules: [module('a'), module('b')], next: 'c', fresh: true },
    { type: 'listed', modules: [module('b'), module('c')], next: null, fresh: false },
  );
  expect(state.modules.map(({ id }) => id)).toEqual(['a', 'b', 'c']);
  expect(state.listing).toEqual({ state: 'ready', value: { next: null } });
});

test('a deleted module leaves nothing behind but its runs', () => {
  const state = after(
    { type: 'added', module: module('a'), label: null },
    { type: 'run', run: run(1) },
    { type: 'deleted', ref: 'a' },
  );
  expect(state.modules).toEqual([]);
  expect(state.details).toEqual({});
  expect(state.runs).toHaveLength(1);
});

test('the run in view is the chosen one of this function, else its newest', () => {
  const runs: Event[] = [run(1), run(2), run(3, 'other')].map((run) => ({ type: 'run', run }));
  const state = after(...runs);
  expect(runInView(state, 'a', 'sum')?.id).toBe(2);
  expect(runInView(reduce(state, { type: 'choose', id: 1 }), 'a', 'sum')?.id).toBe(1);
  expect(runInView(state, 'a', 'product')).toBe(null);
});

test('a run that ends keeps its place', () => {
  const state = after(
    { type: 'run', run: run(1) },
    { type: 'run', run: run(2) },
    { type: 'run-over', id: 1, result: { state: 'stopped' }, endedAt: 9 },
  );
  expect(state.runs.map(({ id, result, endedAt }) => [id, result.state, endedAt])).toEqual([
    [2, 'running', null],
    [1, 'stopped', 9],
  ]);
});

test('the history is bounded', () => {
  const state = after(...Array.from({ length: 150 }, (_, id): Event => ({ type: 'run', run: run(id) })));
  expect(state.runs).toHaveLength(100);
  expect(state.runs[0]?.id).toBe(149);
});

test('an upload that failed replaces its own line, and is dismissed', () => {
  const problem = { title: 't', detail: '', advice: '', status: 400, kind: 'invalid' };
  const state = after(
    { type: 'upload', upload: { id: 1, name: 'a', problem: null } },
    { type: 'upload', upload: { id: 1, name: 'a', problem } },
  );
  expect(state.uploads).toEqual([{ id: 1, name: 'a', problem }]);
  expect(reduce(state, { type: 'upload-over', id: 1 }).uploads).toEqual([]);
});

const granted = (version: number, id: string): Granted => ({
  name: 'shop',
  version,
  id,
  grants: { kv: {} },
  since: 'now',
  tag: null,
  broken: {},
  before: null,
});

test('what is granted changes all versions of these bytes that are known, and no others', () => {
  const needs: Import = {
    name: 'kv',
    items: [],
    status: 'missing',
    about: '',
    advice: null,
    capability: 'kv',
  };
  const lacking = (id: string, version: number) => ({ ...module(id, 'shop', version), imports: [needs] });
  const seen = [lacking('a', 1), lacking('b', 2), lacking('a', 3), { ...lacking('a', 1), name: 'twin' }];
  const state = after(
    ...seen.map((value): Event => ({ type: 'detail', ref: refOf(value), detail: { state: 'ready', value } })),
    { type: 'granted', ref: 'shop@2', granted: { state: 'ready', value: granted(2, 'b') } },
    { type: 'granted', ref: 'twin@1', granted: { state: 'loading' } },
    { type: 'grant-draft', ref: 'shop@3', draft: { text: '{', origin: 'typed', problem: null } },
  );
  const served: Module = { ...module('a', 'shop', 3), imports: [{ ...needs, status: 'granted' }] };
  const event: Event = { type: 'regranted', module: served, granted: granted(3, 'a'), keepDraft: false };
  const then = reduce(state, event);
  const statuses = Object.entries(then.details).map(([ref, detail]) => [
    ref,
    detail.state === 'ready' && detail.value.imports[0]?.status,
  ]);
  expect(statuses).toEqual([
    ['shop@1', 'granted'],
    ['shop@2', 'missing'],
    ['shop@3', 'granted'],
    ['twin@1', 'missing'],
  ]);
  // What version 2 was told of those before it is not true any more: it is asked again.
  expect(Object.keys(then.granted)).toEqual(['twin@1', 'shop@3']);
  expect(then.grantDrafts).toEqual({});
  expect(reduce(state, { ...event, keepDraft: true }).grantDrafts).toEqual(state.grantDrafts);
});

test('bytes that are given a name stand once in the list, and keep what was typed for them', () => {
  const state = after(
    { type: 'added', module: module('a'), label: 'a.wat' },
    { type: 'draft', key: 'a\nsum', draft: blankDraft(SUM, [1]) },
    { type: 'added', module: module('a', 'shop', 1), label: null, from: 'a' },
  );
  expect(state.modules.map(refOf)).toEqual(['shop@1']);
  expect(state.drafts['shop@1\nsum']).toEqual(state.drafts['a\nsum']);
  expect(labelOf(state, module('a', 'shop', 1))).toBe('shop@1');
});

test('what is under way with a file is told once, and gone when it is over', () => {
  const work = { id: 1, folder: 'shop', name: 'a', state: 'sending' as const, problem: null };
  const state = after(
    { type: 'file-work', work },
    { type: 'file-work', work: { ...work, id: 2 } },
    { type: 'file-work', work: { ...work, state: 'asking' } },
    { type: 'file-work-over', id: 2 },
  );
  expect(state.fileWorks).toEqual([{ ...work, state: 'asking' }]);
});
