import { expect, test } from 'vitest';
import { amount, bytes, count, day, duration, plural, shortId } from './units';

const plain = (text: string) => text.replace(/[\u00a0\u2009]/g, ' ');

test('durations, from microseconds', () => {
  const cases: [number, string][] = [
    [0, '0 µs'],
    [999, '999 µs'],
    [1000, '1 ms'],
    [1234, '1.23 ms'],
    [123_456, '123 ms'],
    [2_500_000, '2.5 s'],
    [60_000_000, '1 min 0 s'],
    [119_700_000, '2 min 0 s'],
  ];
  for (const [given, text] of cases) expect(plain(duration(given))).toBe(text);
});

test('sizes, in powers of 1024', () => {
  const cases: [number, string][] = [
    [0, '0 B'],
    [1023, '1023 B'],
    [1024, '1 KiB'],
    [65_536, '64 KiB'],
    [1_500_000, '1.43 MiB'],
    [3 * 1024 ** 4, '3 TiB'],
  ];
  for (const [given, text] of cases) expect(plain(bytes(given))).toBe(text);
});

test('counts in groups of three', () => {
  expect(plain(count(1_234_567))).toBe('1 234 567');
  expect(count(999)).toBe('999');
  expect(plural(1, 'module')).toBe('1 module');
  expect(plain(plural(1200, 'field needs', 'fields need'))).toBe('1 200 fields need');
});

test('the allowance of a limit, in its own unit', () => {
  expect(plain(amount(250, 'ms'))).toBe('250 ms');
  expect(plain(amount(15_000, 'ms'))).toBe('15 s');
  expect(plain(amount(65_536, 'bytes'))).toBe('64 KiB');
  expect(plain(amount(10_000, 'units'))).toBe('10 000 units');
  expect(amount(3, '')).toBe('3');
});

test('a moment is told in the visitor’s own words, nonsense not at all', () => {
  expect(day('2026-11-22T12:00:00Z')).toContain('2026');
  expect(day('')).toBe('');
  expect(day('yesterday')).toBe('');
});

test('a digest is cut short, anything else is not', () => {
  expect(shortId(`sha256:${'0123456789abcdef'.repeat(4)}`)).toBe('sha256:01234567');
  expect(shortId('total@3')).toBe('total@3');
});
