import { describe, expect, test } from 'vitest';
import { faultsOf } from './check';
import { blank, type Node, nodeOf } from './node';
import * as schema from './schemas.fixture';
import { shapeOf } from './shape';

const messages = (given: unknown, node: Node) => faultsOf(shapeOf(given), node).map(({ message }) => message);
const typed = (given: unknown, text: string) => messages(given, { kind: 'text', text });

describe('a single field', () => {
  const cases: [string, unknown, string, string | null][] = [
    ['an integer', schema.s32, ' 12 ', null],
    ['at its upper bound', schema.s32, '2147483647', null],
    ['above it', schema.s32, '2147483648', 'The largest value is 2147483647.'],
    ['below the lower', schema.u8, '-1', 'The smallest value is 0.'],
    ['with a fraction', schema.s32, '1.5', 'Only digits, with `-` in front for a negative number.'],
    ['64 bits, at the bound', schema.u64, '18446744073709551615', null],
    ['64 bits, above it', schema.u64, '18446744073709551616', 'The largest value is 18446744073709551615.'],
    ['64 bits, signed', schema.s64, '-9223372036854775808', null],
    ['a float', schema.f64, '-.5e-3', null],
    ['no number', schema.f64, 'NaN', null],
    ['infinite', schema.f64, '-Infinity', null],
    [
      'infinite, in other words',
      schema.f64,
      'inf',
      'A number such as `1.5` or `2e-3`, or `NaN`, `Infinity`, `-Infinity`.',
    ],
    [
      'a float too large',
      schema.f64,
      '1e999',
      'Too large for a 64-bit float; write `Infinity` if you mean it.',
    ],
    ['one character beyond the basic plane', schema.char, '😀', null],
    ['two characters', schema.char, 'ab', 'Needs exactly one character.'],
    ['an empty text', schema.string, '', null],
    ['JSON', {}, '{"a": 1}', null],
    ['JSON that is none', {}, '{"a": }', 'Not JSON: expected a value, found `}` (line 1, column 7).'],
  ];
  test.each(cases)('%s', (_, given, text, message) => {
    expect(typed(given, text)).toEqual(message === null ? [] : [message]);
  });
});

test('what is empty is missing, not wrong', () => {
  const kinds = [schema.s32, schema.f64, schema.char, {}].map((given) =>
    faultsOf(shapeOf(given), { kind: 'text', text: '' }),
  );
  expect(kinds.map((faults) => faults.map(({ kind }) => kind))).toEqual(Array(4).fill(['missing']));
});

test('faults are found however deep, and not in what is switched off', () => {
  const line = schema.record({ quantity: schema.u8, note: schema.option(schema.u8) });
  const given = schema.record({ lines: schema.list(line), shape: schema.variant });
  const shape = shapeOf(given);
  const node = nodeOf(shape, {
    lines: [
      { quantity: 300, note: null },
      { quantity: 1, note: -1 },
    ],
    shape: { circle: 'x' },
  });
  expect(messages(given, node)).toEqual([
    'The largest value is 255.',
    'The smallest value is 0.',
    'A number such as `1.5` or `2e-3`, or `NaN`, `Infinity`, `-Infinity`.',
  ]);
  expect(faultsOf(shape, node, 'order').map(({ path }) => path)).toEqual([
    'order.lines[0].quantity',
    'order.lines[1].note',
    'order.shape.circle',
  ]);
  expect(messages(given, blank(shape))).toEqual([]);
});

test('what does not fit names what was expected and what was found', () => {
  const shape = shapeOf(schema.color);
  expect(messages(schema.color, nodeOf(shape, 'blue'))).toEqual([
    'Expected one of `red`, `green`, found `"blue"`.',
  ]);
});

test('base64 is checked', () => {
  const bytes = (base64: string) => messages(schema.bytes, { kind: 'bytes', base64, file: null });
  expect(bytes('AQI=')).toEqual([]);
  expect(bytes('AQ\nI=')).toEqual([]);
  expect(bytes('AQI')).toEqual(['This is not base64.']);
  expect(bytes('A*I=')).toEqual(['This is not base64.']);
});
