import { describe, expect, test } from 'vitest';
import type { FileEntry } from '../api/types';
import type { JsonObject } from '../json/json';
import { apart, changesIn, crumbsOf, type Folder, fileNameFault, pathIn, placeOf, replaces } from './files';

const entry = (name: string, kind: FileEntry['kind'] = 'file'): FileEntry => ({
  name,
  kind,
  size: kind === 'file' ? 1 : null,
  modified_ms: 0,
});

describe('paths', () => {
  test('a name in a directory is a path, and comes apart again', () => {
    for (const [folder, name] of [
      ['', 'a'],
      ['shop', 'a'],
      ['shop/orders', '1.txt'],
    ] as const) {
      expect(apart(pathIn(folder, name))).toEqual({ folder, name });
    }
    expect(pathIn('', 'a')).toBe('a');
    expect(pathIn('shop/orders', '1.txt')).toBe('shop/orders/1.txt');
  });

  test('the way to a directory has a step for each name', () => {
    expect(crumbsOf('')).toEqual([]);
    expect(crumbsOf('shop/orders/2026')).toEqual([
      { name: 'shop', path: 'shop' },
      { name: 'orders', path: 'shop/orders' },
      { name: '2026', path: 'shop/orders/2026' },
    ]);
  });
});

describe('names', () => {
  test('any text is a name but what a path could misread', () => {
    for (const name of ['a', '.hidden', '...', 'a b', '日本', 'a?b#c%2F', 'ä'.repeat(127)])
      expect(fileNameFault(name, [])).toBe(null);
    for (const name of ['', '.', '..', 'a/b', '/', 'a\0b', 'ä'.repeat(128), 'a'.repeat(256)])
      expect([name, fileNameFault(name, [])]).not.toEqual([name, null]);
  });

  test('a name that something has is no new one', () => {
    expect(fileNameFault('a', [entry('a')])).toBe('Something has this name already.');
    expect(fileNameFault('A', [entry('a')])).toBe(null);
  });

  test('a file takes the place of a file or link in the same directory, of nothing else', () => {
    const entries = [entry('a'), entry('link', 'symlink'), entry('d', 'directory')];
    const folder: Folder = { path: 'shop', entries, listing: { state: 'loading' } };
    expect(['a', 'link', 'd', 'b'].map((name) => replaces(folder, 'shop', name))).toEqual([
      true,
      true,
      false,
      false,
    ]);
    expect(replaces(folder, '', 'a')).toBe(false);
    expect(replaces(null, 'shop', 'a')).toBe(false);
  });
});

describe('what a call changed', () => {
  const grants = {
    fs: {
      mounts: {
        '/data': { prefix: 'shop' },
        '/data/in/': { prefix: '/uploads//new' },
        '/all': {},
        '/broken': 7,
      },
    },
  };

  test('a path of the module’s is where its grant puts it; the longest mount wins', () => {
    const cases: [string, string | null][] = [
      ['/data/orders/1.txt', 'shop/orders/1.txt'],
      ['/data/in/a', 'uploads/new/a'],
      ['/data/into', 'shop/into'],
      ['/all/a', 'a'],
      ['/database', null],
      ['/broken/a', null],
      ['/data', null],
    ];
    for (const [path, place] of cases) expect([path, placeOf(grants, path)]).toEqual([path, place]);
  });

  test('a mount of everything is the shortest', () => {
    const mounts = { '/': { prefix: 'root' }, '/data': { prefix: 'shop' } };
    expect(placeOf({ fs: { mounts } }, '/a')).toBe('root/a');
    expect(placeOf({ fs: { mounts } }, '/data/a')).toBe('shop/a');
  });

  test('without a grant for files it is nowhere', () => {
    const none: JsonObject[] = [{}, { fs: null }, { fs: {} }, { fs: { mounts: [] } }];
    for (const grants of none) expect(placeOf(grants, '/data/a')).toBe(null);
  });

  test('it is told in one order, without what nothing was', () => {
    const changes = { added: ['/b'], changed: [], removed: ['/a'], unnamed: 0 };
    expect(changesIn(changes)).toEqual([
      { id: 'added', paths: ['/b'] },
      { id: 'removed', paths: ['/a'] },
    ]);
    expect(changesIn({ added: [], changed: [], removed: [], unnamed: 3 })).toEqual([]);
  });
});
