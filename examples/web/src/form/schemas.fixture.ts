// The schemas that the server writes, one builder for each kind of type: what the tests of this room feed it with.
type Schema = Record<string, unknown>;

export const record = (fields: Record<string, Schema>, required = Object.keys(fields)): Schema => ({
  type: 'object',
  properties: fields,
  required,
  additionalProperties: false,
});
export const s32: Schema = { type: 'integer', minimum: -2147483648, maximum: 2147483647 };
export const u8: Schema = { type: 'integer', minimum: 0, maximum: 255 };
export const s64: Schema = { anyOf: [{ type: 'integer' }, { type: 'string', pattern: '^-?[0-9]+$' }] };
export const u64: Schema = {
  anyOf: [
    { type: 'integer', minimum: 0, maximum: 18446744073709551615n },
    { type: 'string', pattern: '^[0-9]+$' },
  ],
};
export const f64: Schema = { anyOf: [{ type: 'number' }, { enum: ['NaN', 'Infinity', '-Infinity'] }] };
export const bool: Schema = { type: 'boolean' };
export const string: Schema = { type: 'string' };
export const char: Schema = { type: 'string', minLength: 1, maxLength: 1 };
export const color: Schema = { enum: ['red', 'green'] };
export const flags: Schema = { type: 'array', items: { enum: ['read', 'write', 'run'] }, uniqueItems: true };
export const list = (items: Schema): Schema => ({ type: 'array', items });
export const tuple = (...items: Schema[]): Schema => ({
  type: 'array',
  prefixItems: items,
  minItems: items.length,
  maxItems: items.length,
  items: false,
});
export const option = (inner: Schema): Schema => ({ anyOf: [{ type: 'null' }, inner] });
export const optionOfOption = (inner: Schema): Schema => option(record({ some: option(inner) }));
export const variant: Schema = {
  oneOf: [{ const: 'none' }, record({ circle: f64 }), record({ at: tuple(s32, s32) })],
};
export const result: Schema = { oneOf: [record({ ok: { type: 'null' } }), record({ err: string })] };
export const bytes: Schema = {
  anyOf: [record({ base64: { type: 'string', contentEncoding: 'base64' } }), { type: 'array', items: u8 }],
};
