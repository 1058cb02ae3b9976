import { beforeEach, expect, test, vi } from 'vitest';
import { loadServer, parseAddress, saveServer } from './settings';

function storage(): Storage {
  const kept = new Map<string, string>();
  return {
    get length() {
      return kept.size;
    },
    clear: () => kept.clear(),
    key: (at) => [...kept.keys()][at] ?? null,
    getItem: (key) => kept.get(key) ?? null,
    setItem: (key, value) => void kept.set(key, value),
    removeItem: (key) => void kept.delete(key),
  };
}

function visit(href: string): void {
  const url = new URL(href);
  vi.stubGlobal('location', { href, origin: url.origin, search: url.search });
  vi.stubGlobal('history', { replaceState: (_: unknown, __: string, next: URL) => visit(String(next)) });
}

beforeEach(() => {
  vi.stubGlobal('localStorage', storage());
  vi.stubGlobal('sessionStorage', storage());
});

test('addresses', () => {
  const cases: [string, string | null][] = [
    ['http://127.0.0.1:8080', 'http://127.0.0.1:8080'],
    [' https://runner.test/base/ ', 'https://runner.test/base'],
    ['localhost:8080', 'http://localhost:8080'],
    ['http://[::1]:8080/', 'http://[::1]:8080'],
    ['https://user:secret@runner.test/?a=b#c', 'https://runner.test'],
    ['', null],
    ['not an address', null],
    ['javascript://alert(1)', null],
    ['ftp://runner.test', null],
  ];
  for (const [given, address] of cases) expect([given, parseAddress(given)]).toEqual([given, address]);
});

test('the address line comes before what was saved, and that before the page’s own origin', () => {
  visit('http://page.test/');
  expect(loadServer()).toEqual({ address: 'http://page.test', token: '' });
  saveServer({ address: 'http://saved.test', token: '' });
  expect(loadServer().address).toBe('http://saved.test');
  visit('http://page.test/?server=http://asked.test');
  expect(loadServer().address).toBe('http://asked.test');
});

test('what is saved holds after a reload, whatever the address line said', () => {
  visit('http://page.test/?server=http://asked.test&x=1#/modules/a');
  saveServer({ address: 'http://chosen.test', token: '' });
  expect(location.href).toBe('http://page.test/?x=1#/modules/a');
  expect(loadServer().address).toBe('http://chosen.test');
});

test('a token is sent to no other server than the one it was entered for', () => {
  visit('http://page.test/');
  saveServer({ address: 'http://mine.test', token: 'secret' });
  expect(loadServer().token).toBe('secret');
  visit('http://page.test/?server=http://evil.test');
  expect(loadServer()).toEqual({ address: 'http://evil.test', token: '' });
});

test('a token stays in this tab’s storage', () => {
  visit('http://page.test/');
  saveServer({ address: 'http://mine.test', token: 'secret' });
  const kept = Array.from({ length: localStorage.length }, (_, at) =>
    localStorage.getItem(localStorage.key(at) ?? ''),
  );
  expect(kept).toEqual(['http://mine.test']);
});
