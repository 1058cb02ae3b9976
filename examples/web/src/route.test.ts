import { expect, test } from 'vitest';
import { folderHref, hrefOf, parseFolder, parseRoute } from './route';

test('a route survives its way through the address', () => {
  const cases: [string | null, string | null][] = [
    [null, null],
    ['sha256:0123', null],
    ['total@3', 'sum'],
    ['total@3', ''],
    ['total@3', 'a/b?c#d%2F'],
    ['total@3', 'demo:shop/orders@1.0.0#total of 100%'],
  ];
  for (const [ref, fn] of cases) expect(parseRoute(hrefOf(ref, fn))).toEqual({ ref, fn });
});

test('what is no route leads to the first view', () => {
  for (const hash of ['', '#', '#/', '#/elsewhere/x', '#/modules', '#/modules/']) {
    expect(parseRoute(hash)).toEqual({ ref: null, fn: null });
  }
  expect(parseRoute('#/modules/%E0%A4%A')).toEqual({ ref: '%E0%A4%A', fn: null });
});

test('a directory, and what is looked for in it, survive their way through the address', () => {
  const cases: [string, string | null][] = [
    ['', null],
    ['', 'a.txt'],
    ['shop', null],
    ['shop/orders 100%/a?b#c', 'd?e#f%2F'],
    ['日本', '...'],
  ];
  for (const [path, name] of cases) {
    expect(parseFolder(folderHref(path, name))).toEqual({ path, name });
    expect(parseRoute(folderHref(path, name))).toEqual({ ref: null, fn: null });
  }
});

test('what is no directory is another view', () => {
  for (const hash of ['', '#/', '#/modules/files', '#/filesystem', hrefOf('files')])
    expect(parseFolder(hash)).toBe(null);
  expect(parseFolder('#/files/')).toEqual({ path: '', name: null });
  expect(parseFolder('#/files/a//b/')).toEqual({ path: 'a/b', name: null });
});
