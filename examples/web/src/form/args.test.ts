import { expect, test } from 'vitest';
import { printFlat } from '../json/json';
import { argsFaults, argsFrom, argsJson, blankArgs, editNode, editText, paramsOf, textOf } from './args';
import { nodeOf } from './node';
import * as schema from './schemas.fixture';
import { shapeOf } from './shape';

const params = paramsOf([
  { name: 'a', type: 's32', schema: schema.s32 },
  { name: 'b', type: 's64', schema: schema.s64 },
]);

test('the raw text follows the form', () => {
  const draft = argsFrom(params, [1, 2]);
  expect(textOf(params, draft)).toBe('[1, 2]');
  const whole = shapeOf(schema.tuple(schema.s32, schema.s64));
  expect(textOf(params, editNode(nodeOf(whole, [3, 4])))).toBe('[3, 4]');
});

test('the form follows the raw text, and the text stays as it was typed', () => {
  const typed = ' [ 1,\n  9007199254740993 ]';
  const draft = editText(params, blankArgs(params), typed);
  expect(textOf(params, draft)).toBe(typed);
  expect(printFlat(argsJson(params, draft))).toBe('[1, "9007199254740993"]');
});

test('a text that cannot be read is kept, beside the values that were read last', () => {
  const good = editText(params, blankArgs(params), '[1, 2]');
  const broken = editText(params, good, '[1, 2');
  expect(textOf(params, broken)).toBe('[1, 2');
  expect(argsJson(params, broken)).toEqual([1, 2]);
  expect(argsFaults(params, broken)).toEqual([
    { kind: 'wrong', message: 'Not JSON: expected `,` or `]` (line 1, column 6).', path: '' },
  ]);
  expect(argsFaults(params, editText(params, broken, '[1, 2]'))).toEqual([]);
});

test('arguments may be given by name, in any order', () => {
  expect(argsJson(params, argsFrom(params, { b: 2, a: 1 }))).toEqual([1, 2]);
});

test('a name that no parameter has is a fault, and is not lost', () => {
  const draft = argsFrom(params, { a: 1, c: 3 });
  expect(argsFaults(params, draft)).toHaveLength(1);
  expect(argsJson(params, draft)).toEqual({ a: 1, c: 3 });
});

test('arguments that are not given are missing', () => {
  expect(argsFaults(params, argsFrom(params, [1])).map(({ kind, path }) => [kind, path])).toEqual([
    ['missing', 'b'],
  ]);
});
