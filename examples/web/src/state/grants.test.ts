import { expect, test } from 'vitest';
import type { Granted, Import } from '../api/types';
import {
  byWords,
  exampleOf,
  grantText,
  groupsOf,
  nameFault,
  nameFrom,
  readGrants,
  sameGrants,
  withGrant,
} from './grants';

const asks = (name: string, status: Import['status'], capability: string | null = null): Import => ({
  name,
  items: [],
  status,
  about: `what ${name} is`,
  advice: null,
  capability,
});
const granted: Granted = {
  name: 'shop',
  version: 1,
  id: 'sha256:1',
  grants: { kv: {} },
  since: null,
  before: null,
};

test('imports are grouped by what is to be done, and in a group by who would serve them', () => {
  const groups = groupsOf([
    asks('io', 'provided'),
    asks('store', 'missing', 'kv'),
    asks('env', 'missing'),
    asks('http', 'closed', 'http'),
    asks('config', 'missing', 'config'),
    asks('atomics', 'missing', 'kv'),
    asks('logging', 'granted', 'logging'),
  ]);
  const shown = groups.map(({ id, count, parts }) => [
    id,
    count,
    parts.map(({ capability, imports }) => `${capability}: ${imports.map(({ name }) => name)}`),
  ]);
  expect(shown).toEqual([
    ['needed', 3, ['kv: store,atomics', 'config: config']],
    ['unserved', 1, ['null: env']],
    ['granted', 1, ['logging: logging']],
    ['closed', 1, ['http: http']],
    ['provided', 1, ['null: io']],
  ]);
  expect(groupsOf([])).toEqual([]);
});

test('the words of an import leave out the advice that the page gives by a button', () => {
  const advice = 'capability `http` serves it: grant it with {}';
  const closed = { ...asks('http', 'closed', 'http'), about: `requests: not lent; ${advice}`, advice };
  const missing = { ...asks('kv', 'missing', 'kv'), about: advice, advice };
  const unserved = { ...asks('env', 'missing'), about: 'an embedder adds it', advice: 'an embedder adds it' };
  expect(
    byWords([closed, missing, unserved, unserved]).map(({ words, imports }) => [words, imports.length]),
  ).toEqual([
    ['requests: not lent', 1],
    ['', 1],
    ['an embedder adds it', 2],
  ]);
});

test('what is said of many in the same words is said once', () => {
  const lacks = (name: string) => ({ ...asks(name, 'missing'), about: `add \`${name}\` to \`serves\`` });
  const words = (imports: Import[]) => byWords(imports).map(({ words }) => words);
  expect(words([lacks('env'), lacks('host')])).toEqual(['add `NAME` to `serves`']);
  expect(words([lacks('env')])).toEqual(['add `env` to `serves`']);
});

test('the editor has what was typed, else what is granted', () => {
  expect(grantText(undefined, granted)).toBe('{ "kv": {} }');
  expect(grantText({ text: '{', origin: 'typed', problem: null }, granted)).toBe('{');
});

test('only an object is grants, and a fault says where it is', () => {
  expect(readGrants('{ "kv": 1 }')).toEqual({ grants: { kv: 1 } });
  expect(readGrants('[]')).toEqual({ fault: 'Expected an object: for each capability’s id its grant.' });
  expect(readGrants('{ "kv" }')).toEqual({
    fault: 'Not JSON: expected `:` after the key (line 1, column 8).',
  });
});

test('an example goes beside what stands there, and never over it', () => {
  expect(withGrant('{ "kv": { "mine": 1 } }', 'http', { allow: [] })).toEqual({
    text: '{\n  "kv": { "mine": 1 },\n  "http": { "allow": [] }\n}',
  });
  expect(withGrant('{"kv":{"mine":1}}', 'kv', {})).toEqual({ text: '{"kv":{"mine":1}}' });
  expect(withGrant(' ', 'kv', {})).toEqual({ text: '{ "kv": {} }' });
  expect(withGrant('{', 'kv', {})).toHaveProperty('fault');
});

test('an example is the schema’s, or an empty grant', () => {
  const lending = {
    capabilities: [{ id: 'kv', about: '', example: { stores: {} }, fields: [] }],
    secrets: [],
  };
  expect(exampleOf(lending, 'kv', 'counter')).toEqual({ stores: {} });
  expect(exampleOf(lending, 'http', null)).toEqual({});
  expect(exampleOf(null, 'fs', 'counter')).toEqual({});
});

test('a module is offered the files of its own name', () => {
  const example = { mounts: { '/data': { prefix: 'shop' } } };
  const lending = { capabilities: [{ id: 'fs', about: '', example, fields: [] }], secrets: [] };
  expect(exampleOf(lending, 'fs', 'counter')).toEqual({ mounts: { '/data': { prefix: 'counter' } } });
  expect(exampleOf(lending, 'fs', null)).toEqual(example);
});

test('grants are the same whatever the order of their fields, not of their rules', () => {
  expect(sameGrants({ a: { x: 1, y: 2 }, b: [] }, { b: [], a: { y: 2, x: 1 } })).toBe(true);
  expect(sameGrants({ a: [1, 2] }, { a: [2, 1] })).toBe(false);
});

test('a name is as the server takes it, or says what it may have', () => {
  for (const name of ['a', '0', 'shop-2.wasm', 'a'.repeat(100)]) expect(nameFault(name)).toBe(null);
  for (const name of ['', 'Shop', '-a', 'a b', 'a@1', 'ä', 'a'.repeat(101)])
    expect(nameFault(name)).not.toBe(null);
});

test('a file’s name makes a name', () => {
  expect(nameFrom('KV Counter (2).wasm')).toBe('kv-counter-2');
  expect(nameFrom('_hidden.wat')).toBe('hidden');
  expect(nameFrom('日本.wasm')).toBe('');
  const long = nameFrom(`${'x'.repeat(99)} y.wasm`);
  expect([long.length, nameFault(long)]).toEqual([100, null]);
});
