import { expect, test } from 'vitest';
import * as schema from './schemas.fixture';
import { type Shape, shapeOf } from './shape';

const S64 = { kind: 'wide', min: -(2n ** 63n), max: 2n ** 63n - 1n, quoted: true } as const;
const U64 = { kind: 'wide', min: 0n, max: 2n ** 64n - 1n, quoted: true } as const;
const S32 = { kind: 'integer', min: -2147483648, max: 2147483647 } as const;
const U8 = { kind: 'integer', min: 0, max: 255 } as const;

const tagged = (kind: string, more = {}) => schema.record({ kind: { type: 'string', const: kind }, ...more });

const CASES: [string, unknown, Shape][] = [
  ['s32', schema.s32, S32],
  ['s64', schema.s64, S64],
  ['u64', schema.u64, U64],
  ['an integer without bounds', { type: 'integer' }, { ...S64, quoted: false }],
  ['a float', schema.f64, { kind: 'float' }],
  ['a plain number', { type: 'number' }, { kind: 'float' }],
  ['bool', schema.bool, { kind: 'bool' }],
  ['string', schema.string, { kind: 'string' }],
  ['char', schema.char, { kind: 'char' }],
  ['enum', schema.color, { kind: 'enum', names: ['red', 'green'] }],
  ['flags', schema.flags, { kind: 'flags', names: ['read', 'write', 'run'] }],
  ['list', schema.list(schema.u8), { kind: 'list', item: U8 }],
  ['list<u8> as bytes', schema.bytes, { kind: 'bytes' }],
  ['tuple', schema.tuple(schema.bool, schema.s64), { kind: 'tuple', items: [{ kind: 'bool' }, S64] }],
  [
    'a list of fixed length',
    { type: 'array', items: schema.bool, minItems: 2, maxItems: 2 },
    { kind: 'tuple', items: [{ kind: 'bool' }, { kind: 'bool' }] },
  ],
  ['option', schema.option(schema.f64), { kind: 'option', inner: { kind: 'float' }, nested: false }],
  [
    'option of option',
    schema.optionOfOption(schema.bool),
    { kind: 'option', nested: true, inner: { kind: 'option', inner: { kind: 'bool' }, nested: false } },
  ],
  [
    'variant',
    schema.variant,
    {
      kind: 'variant',
      cases: [
        { name: 'none', payload: null },
        { name: 'circle', payload: { kind: 'float' } },
        { name: 'at', payload: { kind: 'tuple', items: [S32, S32] } },
      ],
    },
  ],
  [
    'result without an ok value',
    schema.result,
    {
      kind: 'variant',
      cases: [
        { name: 'ok', payload: { kind: 'null' } },
        { name: 'err', payload: { kind: 'string' } },
      ],
    },
  ],
  [
    'an option as a task has it',
    { type: ['integer', 'null'], format: 'uint8', minimum: 0, maximum: 255 },
    { kind: 'option', inner: { kind: 'integer', min: 0, max: 255 }, nested: false },
  ],
  ['several types at once', { type: ['integer', 'string'] }, { kind: 'any' }],
  ['something that has no JSON form', { not: {} }, { kind: 'any' }],
  ['no schema at all', undefined, { kind: 'any' }],
  // #[serde(tag = "kind")]: alone, with fields beside the tag, with another type's.
  ['an enum with its tag inside', { oneOf: [tagged('circle'), tagged('square')] }, { kind: 'any' }],
  ['one case with its tag inside', { oneOf: [tagged('circle')] }, { kind: 'any' }],
  ['a tag beside fields', { oneOf: [tagged('circle'), tagged('at', { x: schema.s32 })] }, { kind: 'any' }],
  ['a tag beside a reference', { oneOf: [{ ...tagged('circle'), $ref: '#/$defs/Circle' }] }, { kind: 'any' }],
  [
    'two cases of one name',
    { oneOf: [schema.record({ a: schema.s32 }), schema.record({ a: schema.bool })] },
    { kind: 'any' },
  ],
  // A record in which an enum is flattened.
  [
    'a record with cases',
    { ...schema.record({ id: schema.s32 }), oneOf: [schema.record({ a: schema.s32 })] },
    { kind: 'any' },
  ],
  ['a reference', { $ref: '#/prefixItems/0/properties/next' }, { kind: 'any' }],
  [
    'a reference beside fields',
    { ...schema.record({ a: schema.s32 }), $ref: '#/$defs/Base' },
    { kind: 'any' },
  ],
  ['parts of a whole', { type: 'object', allOf: [schema.record({ a: schema.s32 })] }, { kind: 'any' }],
  [
    'a type that holds itself',
    schema.record({
      value: schema.bool,
      next: schema.option({ $ref: '#/prefixItems/0' }),
      all: schema.list({ $ref: '#' }),
    }),
    {
      kind: 'record',
      fields: [
        { name: 'value', shape: { kind: 'bool' } },
        { name: 'next', shape: { kind: 'option', inner: { kind: 'any' }, nested: false } },
        { name: 'all', shape: { kind: 'list', item: { kind: 'any' } } },
      ],
    },
  ],
  ['alternatives of no known kind', { anyOf: [{ type: 'string' }, { type: 'boolean' }] }, { kind: 'any' }],
];

test.each(CASES)('%s', (_, given, shape) => {
  expect(shapeOf(given)).toEqual(shape);
});

test('the fields of a record keep the order of the declaration', () => {
  const names = (given: unknown) => {
    const shape = shapeOf(given);
    return shape.kind === 'record' ? shape.fields.map(({ name }) => name) : [];
  };
  const { bool } = schema;
  // An optional field is not required, but keeps its place.
  expect(names(schema.record({ b: bool, maybe: bool, a: bool }, ['b', 'a']))).toEqual(['b', 'maybe', 'a']);
  // Keys in the order of the alphabet, contradicted by `required`.
  expect(names(schema.record({ a: bool, b: bool, maybe: bool }, ['b', 'a']))).toEqual(['b', 'a', 'maybe']);
});
