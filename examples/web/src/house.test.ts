// The rules of this room that the compiler cannot see, read from the sources.
import { expect, test } from 'vitest';

const sources: Record<string, string> = import.meta.glob('./**/*.{ts,tsx}', {
  query: '?raw',
  import: 'default',
  eager: true,
});
const files = Object.entries(sources).filter(([path]) => !path.endsWith('.test.ts'));
const breaking = (rule: (source: string, path: string) => boolean) =>
  files.filter(([path, source]) => rule(source, path)).map(([path]) => path);

test('the sources are found', () => {
  expect(files.length).toBeGreaterThan(40);
});

test('only the client speaks to the server', () => {
  const speaks = /\bfetch\(|XMLHttpRequest|EventSource|WebSocket|sendBeacon/;
  expect(breaking((source) => speaks.test(source))).toEqual(['./api/client.ts']);
});

test('what is pure knows nothing of React', () => {
  const pure = /^\.\/(api|json|format)\/|^\.\/form\/[a-z]|^\.\/state\/(?!session)/;
  const react = /from 'react/;
  expect(breaking((source, path) => path.endsWith('.ts') && pure.test(path) && react.test(source))).toEqual(
    [],
  );
});

test('every file says first what it is for, and stays below 300 lines', () => {
  expect(breaking((source) => !source.startsWith('// '))).toEqual([]);
  expect(breaking((source) => source.split('\n').length > 300)).toEqual([]);
});
