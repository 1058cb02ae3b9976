import { expect, test } from 'vitest';
import { JsonError, parseJson, printFlat, printJson } from './json';

test('what JSON.parse reads is read alike', () => {
  const texts = [
    'null',
    ' [1, -2.5e3, true] ',
    '{"a": {"b": []}, "ü": "\\u00e9\\n\\"x"}',
    '"😀"',
    '0',
    '-0.5',
    '{}',
  ];
  for (const text of texts) expect(JSON.parse(printFlat(parseJson(text)))).toEqual(JSON.parse(text));
});

test('integers beyond 2^53 keep every digit, both ways', () => {
  expect(parseJson('9007199254740993')).toBe(9007199254740993n);
  expect(printFlat(parseJson('[-18446744073709551615, 9007199254740991]'))).toBe(
    '[-18446744073709551615, 9007199254740991]',
  );
});

test('a text that turns the direction of writing is printed so that it cannot', () => {
  const turned = 'user\u202e nimda\u2069';
  expect(printFlat([turned])).toBe('["user\\u202e nimda\\u2069"]');
  expect(printFlat({ [turned]: 1 })).toBe('{ "user\\u202e nimda\\u2069": 1 }');
  expect(parseJson(printFlat(turned))).toBe(turned);
});

test('negative zero keeps its sign', () => {
  expect(printFlat(parseJson('-0'))).toBe('-0');
});

test('an error names its line and column', () => {
  const cases: [string, string, number, number][] = [
    ['', 'expected a value, found the end of the text', 1, 1],
    ['[1, 2', 'expected `,` or `]`', 1, 6],
    ['{\n  "a" 1}', 'expected `:` after the key', 2, 7],
    ['{a: 1}', 'expected a key in double quotes', 1, 2],
    ['"open', 'this text has no closing quote', 1, 1],
    ['"\\x"', 'this text has a bad escape or a raw control character', 1, 1],
    ['1 2', 'expected the end of the text', 1, 3],
    ['01', 'expected the end of the text', 1, 2],
    ['nope', 'expected a value, found `n`', 1, 1],
  ];
  for (const [text, message, line, column] of cases) {
    let error: unknown;
    try {
      parseJson(text);
    } catch (caught) {
      error = caught;
    }
    expect(error).toBeInstanceOf(JsonError);
    expect(error).toMatchObject({ message: `${message} (line ${line}, column ${column})`, line, column });
  }
});

test('nesting is bounded', () => {
  expect(() => parseJson('['.repeat(100_000))).toThrow('nested deeper than 200 levels');
});

test('a key named __proto__ is a key like any other', () => {
  expect(printFlat(parseJson('{"__proto__": 1}'))).toBe('{ "__proto__": 1 }');
});

test('what fits stays on one line, the rest is broken by level', () => {
  expect(printJson({ a: [1, 2], b: null })).toBe('{ "a": [1, 2], "b": null }');
  expect(printJson({ a: [1, 2], b: 'x'.repeat(20) }, 24)).toBe(
    `{\n  "a": [1, 2],\n  "b": "${'x'.repeat(20)}"\n}`,
  );
});
