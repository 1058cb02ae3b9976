import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Client } from '../api/client';
import { asProblem } from '../api/problem';
import { Browsing } from './browsing';
import { createStore, initialState, type Store } from './store';

let store: Store;
let browsing: Browsing;
let said: string[];
let sent: string[];
/** Directories of a server that answers two entries at a time. */
let kept: Record<string, string[]>;
/** What is asked waits here, where it is set. */
let gate: Promise<void> | null;

beforeEach(() => {
  [said, sent, kept, gate] = [[], [], {}, null];
  vi.stubGlobal('location', { href: 'http://page.test/' });
  vi.stubGlobal('fetch', async (url: string, init: RequestInit) => {
    const { pathname, searchParams } = new URL(url);
    const path = decodeURIComponent(pathname.replace('/v1/files/', ''));
    const method = init.method ?? 'GET';
    sent.push(`${method} ${path}`);
    if (gate !== null) await gate;
    if (method !== 'GET') return new Response(null, { status: 204 });
    const names = kept[path.replace(/\/$/, '')];
    if (names === undefined) return new Response('{"kind": "not_found", "detail": "gone"}', { status: 404 });
    const left = names.filter((name) => name > (searchParams.get('after') ?? ''));
    const entries = left.slice(0, 2).map((name) => ({ name, kind: 'file', size: 1, modified_ms: 0 }));
    const next = left.length > 2 ? left[1] : undefined;
    return new Response(JSON.stringify({ path, entries, next }));
  });
  store = createStore(initialState);
  const around = { problemOf: asProblem, say: (text: string) => said.push(text) };
  browsing = new Browsing(new Client({ address: 'http://server.test', token: '' }), store, around);
});
afterEach(() => {
  vi.unstubAllGlobals();
});

const inView = () => store.get().folder?.entries.map(({ name }) => name);
const file = (name: string) => new File(['x'], name);

test('a directory is shown page by page, and as far as it was when it is listed anew', async () => {
  kept = { shop: ['a', 'b', 'c', 'd', 'e'] };
  await browsing.open('shop');
  expect(inView()).toEqual(['a', 'b']);
  await browsing.more();
  expect(inView()).toEqual(['a', 'b', 'c', 'd']);
  kept = { shop: ['a', 'c', 'd', 'e', 'f'] };
  await browsing.remove('shop', { name: 'b', kind: 'file', size: 1, modified_ms: 0 });
  expect(inView()).toEqual(['a', 'c', 'd', 'e']);
  expect(said).toEqual(['b deleted']);
});

test('what somebody has left is not shown over where they are', async () => {
  kept = { slow: ['a'], quick: ['b'] };
  let open = () => {};
  gate = new Promise((opened) => {
    open = opened;
  });
  const slow = browsing.open('slow');
  gate = null;
  await browsing.open('quick');
  open();
  await slow;
  expect([store.get().folder?.path, inView()]).toEqual(['quick', ['b']]);
});

test('a file whose name is taken waits for an answer, and the others go', async () => {
  kept = { shop: ['a', 'b'] };
  await browsing.open('shop');
  sent = [];
  await browsing.upload('shop', [file('a'), file('c')]);
  expect(sent.filter((one) => one.startsWith('PUT'))).toEqual(['PUT shop/c']);
  const [asking] = store.get().fileWorks;
  expect([store.get().fileWorks.length, asking?.name, asking?.state]).toEqual([1, 'a', 'asking']);
  if (asking === undefined) return;
  await browsing.replace(asking);
  expect(sent.filter((one) => one.startsWith('PUT'))).toEqual(['PUT shop/c', 'PUT shop/a']);
  expect(store.get().fileWorks).toEqual([]);

  await browsing.upload('shop', [file('b')]);
  const [waits] = store.get().fileWorks;
  if (waits === undefined) throw new Error('nothing asks');
  browsing.dismiss(waits.id);
  await browsing.replace(waits);
  expect(sent.includes('PUT shop/b')).toBe(false);
});

test('a directory that is not there says so, in words for files', async () => {
  await browsing.open('absent');
  const { folder } = store.get();
  if (folder?.listing.state !== 'failed') throw new Error('it failed not');
  expect(folder.listing.problem.advice).toBe('It may have been removed. Look at the folder that it was in.');
});
