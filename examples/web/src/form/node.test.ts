import { describe, expect, test } from 'vitest';
import { type Json, parseJson, printFlat } from '../json/json';
import { blank, jsonOf, type Node, nodeOf, toBase64 } from './node';
import * as schema from './schemas.fixture';
import { shapeOf } from './shape';

/** Through the form and out again. */
const through = (given: unknown, json: Json): Json => jsonOf(shapeOf(given), nodeOf(shapeOf(given), json));

describe('a value of every kind comes out of the form as it went in', () => {
  const point = schema.record({ x: schema.s32, y: schema.s32 });
  const cases: [string, unknown, string][] = [
    ['integer', schema.s32, '-7'],
    ['wide, small', schema.s64, '12'],
    ['wide, large', schema.s64, '"-9223372036854775808"'],
    ['wide, large, of a task', { type: 'integer', format: 'uint64', minimum: 0 }, '9007199254740993'],
    ['float', schema.f64, '1.5'],
    ['float, negative zero', schema.f64, '-0'],
    ['float, infinite', schema.f64, '"-Infinity"'],
    ['float, no number', schema.f64, '"NaN"'],
    ['bool', schema.bool, 'true'],
    ['string', schema.string, '"a\\nb "'],
    ['string, empty', schema.string, '""'],
    ['char', schema.char, '"😀"'],
    ['enum', schema.color, '"green"'],
    ['flags', schema.flags, '["read", "run"]'],
    ['record', point, '{ "x": 1, "y": -2 }'],
    ['list of records', schema.list(point), '[{ "x": 1, "y": 2 }, { "x": 3, "y": 4 }]'],
    ['tuple', schema.tuple(schema.bool, schema.string), '[false, "x"]'],
    ['option, none', schema.option(schema.string), 'null'],
    ['option, some', schema.option(schema.string), '"x"'],
    ['nested option, none', schema.optionOfOption(schema.bool), 'null'],
    ['nested option, some none', schema.optionOfOption(schema.bool), '{ "some": null }'],
    ['nested option, some some', schema.optionOfOption(schema.bool), '{ "some": true }'],
    ['variant, bare', schema.variant, '"none"'],
    ['variant, with a value', schema.variant, '{ "at": [1, 2] }'],
    ['result, ok without a value', schema.result, '{ "ok": null }'],
    ['result, err', schema.result, '{ "err": "why" }'],
    ['bytes', schema.bytes, '{ "base64": "AQI=" }'],
    ['anything', {}, '{ "deep": [12345678901234567890] }'],
  ];
  test.each(cases)('%s', (_, given, text) => {
    expect(printFlat(through(given, parseJson(text)))).toBe(text);
  });
});

describe('both forms of what may be written in two ways are read', () => {
  test('64-bit integers as a number beyond 2^53', () => {
    expect(through(schema.u64, parseJson('18446744073709551615'))).toBe('18446744073709551615');
  });
  test('64-bit integers as digits that would fit a number', () => {
    expect(through(schema.u64, '12')).toBe(12);
  });
  test('bytes as an array', () => {
    expect(through(schema.bytes, [1, 2])).toEqual({ base64: 'AQI=' });
  });
});

describe('what does not fit is kept as it is', () => {
  const cases: [string, unknown, Json][] = [
    ['a number for a record', schema.record({ x: schema.s32 }), 5],
    ['a field that is not known', schema.record({ x: schema.s32 }), { x: 1, z: 2 }],
    ['one item too many', schema.tuple(schema.bool), [true, false]],
    ['a name that is none of the enum', schema.color, 'blue'],
    ['a flag that is not known', schema.flags, ['read', 'fly']],
    ['a flag that is no name', schema.flags, ['read', 5]],
    ['two cases at once', schema.variant, { circle: 1, at: [1, 2] }],
    ['a case without its value', schema.variant, 'circle'],
    ['a byte too large', schema.bytes, [256]],
    ['an object for a number', schema.s32, { a: 1 }],
  ];
  test.each(cases)('%s', (_, given, json) => {
    expect(nodeOf(shapeOf(given), json).kind).toBe('misfit');
    expect(through(given, json)).toEqual(json);
  });
});

test('a text that is no number yet is passed on as text', () => {
  const typed = (given: unknown, text: string) => jsonOf(shapeOf(given), { kind: 'text', text });
  expect(typed(schema.s32, '12x')).toBe('12x');
  expect(typed(schema.f64, '1.')).toBe(1);
  expect(typed(schema.f64, '1e')).toBe('1e');
  expect(typed(schema.s32, '')).toBe(null);
  expect(typed(schema.f64, '1e999')).toBe('1e999');
});

test('an option that is switched off, and a case that is left, keep what they held', () => {
  const shape = shapeOf(schema.variant);
  const circle = nodeOf(shape, { circle: 2.5 });
  if (circle.kind !== 'variant') throw new Error('expected a variant');
  const left: Node = { ...circle, name: 'none' };
  expect(jsonOf(shape, left)).toBe('none');
  expect(jsonOf(shape, { ...left, name: 'circle' })).toEqual({ circle: 2.5 });

  const maybe = shapeOf(schema.option(schema.string));
  const set = nodeOf(maybe, 'kept');
  if (set.kind !== 'option') throw new Error('expected an option');
  expect(jsonOf(maybe, { ...set, set: false })).toBe(null);
  expect(jsonOf(maybe, { ...set, set: true })).toBe('kept');
});

test('a field that the JSON leaves out is blank', () => {
  const person = schema.record({ name: schema.string, nick: schema.option(schema.string) });
  expect(through(person, { name: 'Ada' })).toEqual({ name: 'Ada', nick: null });
});

test('items of a list have identities of their own', () => {
  const node = nodeOf(shapeOf(schema.list(schema.s32)), [1, 1, 1]);
  if (node.kind !== 'items') throw new Error('expected items');
  expect(new Set(node.items.map(({ id }) => id)).size).toBe(3);
});

test('a blank form is the value that changes least', () => {
  const all = schema.record({ n: schema.s32, b: schema.bool, l: schema.list(schema.s32), v: schema.variant });
  expect(jsonOf(shapeOf(all), blank(shapeOf(all)))).toEqual({ n: null, b: false, l: [], v: 'none' });
});

test('long bytes become base64', () => {
  const bytes = Uint8Array.from({ length: 20_000 }, (_, at) => at % 251);
  const back = Uint8Array.from(atob(toBase64(bytes)), (character) => character.charCodeAt(0));
  expect(back).toEqual(bytes);
});
