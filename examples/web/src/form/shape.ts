// What kind of value a JSON Schema asks for, in the words of WebAssembly's types. Reads exactly the schema forms that
// the server writes (see the server's contract); anything else becomes `any`, a field for raw JSON.
// Knows nothing of React, nor of what has been typed.

export interface Case {
  name: string;
  payload: Shape | null;
}

export type Shape =
  | { kind: 'integer'; min: number; max: number }
  // `quoted`: beyond 2^53 as digits in a string.
  | { kind: 'wide'; min: bigint; max: bigint; quoted: boolean }
  | { kind: 'float' }
  | { kind: 'bool' }
  | { kind: 'string' }
  | { kind: 'char' }
  | { kind: 'enum'; names: string[] }
  | { kind: 'flags'; names: string[] }
  | { kind: 'option'; inner: Shape; nested: boolean }
  | { kind: 'variant'; cases: Case[] }
  | { kind: 'record'; fields: { name: string; shape: Shape }[] }
  | { kind: 'tuple'; items: Shape[] }
  | { kind: 'list'; item: Shape }
  | { kind: 'bytes' }
  | { kind: 'null' }
  | { kind: 'any' };

type Schema = Record<string, unknown>;

// A field each; longer ones are edited as a list, and the server checks their length.
const FIXED_ITEMS_MAX = 64;

const S64 = { min: -(2n ** 63n), max: 2n ** 63n - 1n };
const U64 = { min: 0n, max: 2n ** 64n - 1n };

// What stands elsewhere, or is said in parts, says more than what stands beside it: a form of that alone would lack it.
const ELSEWHERE = ['$ref', '$dynamicRef', 'allOf', 'if', 'not'];

export function shapeOf(schema: unknown): Shape {
  if (!isSchema(schema) || ELSEWHERE.some((key) => key in schema)) return { kind: 'any' };
  const alternatives = schema.anyOf ?? schema.oneOf;
  if (Array.isArray(alternatives)) {
    // An enum of Rust's that is flattened into a record: the record is more than its cases.
    return 'properties' in schema ? { kind: 'any' } : shapeOfAlternatives(alternatives.filter(isSchema));
  }
  const names = strings(schema.enum);
  if (names !== null) return { kind: 'enum', names };
  // As a task's schema has an option.
  const types = strings(schema.type);
  if (types?.length === 2 && types.includes('null')) {
    const type = types.find((one) => one !== 'null');
    return { kind: 'option', inner: shapeOf({ ...schema, type }), nested: false };
  }
  switch (schema.type) {
    case 'integer':
      return shapeOfInteger(schema);
    case 'number':
      return { kind: 'float' };
    case 'boolean':
      return { kind: 'bool' };
    case 'string':
      return { kind: schema.minLength === 1 && schema.maxLength === 1 ? 'char' : 'string' };
    case 'null':
      return { kind: 'null' };
    case 'array':
      return shapeOfArray(schema);
    case 'object':
      return shapeOfObject(schema);
    default:
      return { kind: 'any' };
  }
}

function shapeOfAlternatives(all: Schema[]): Shape {
  const [first, second] = all;
  if (all.length === 2 && first && second) {
    const some = isNull(first) ? second : isNull(second) ? first : null;
    if (some !== null) return shapeOfOption(some);
    const byType = (type: string) => all.find((one) => one.type === type);
    const integer = byType('integer');
    const digits = byType('string');
    if (integer && typeof digits?.pattern === 'string') return shapeOfWide(integer, digits.pattern);
    if (byType('number') && all.some((one) => Array.isArray(one.enum))) return { kind: 'float' };
    const object = byType('object');
    if (byType('array') && isSchema(object?.properties) && 'base64' in object.properties)
      return { kind: 'bytes' };
  }
  const cases = all.map(caseOf).filter((one) => one !== null);
  const names = new Set(cases.map(({ name }) => name));
  // Two cases of one name are told apart by something else than their names.
  return all.length > 0 && cases.length === all.length && names.size === all.length
    ? { kind: 'variant', cases }
    : { kind: 'any' };
}

/** An option inside an option is `{"some": v}`, so that "none" and "some of none" differ. */
function shapeOfOption(some: Schema): Shape {
  const properties = isSchema(some.properties) ? some.properties : null;
  if (properties !== null && Object.keys(properties).join() === 'some') {
    return { kind: 'option', inner: shapeOf(properties.some), nested: true };
  }
  return { kind: 'option', inner: shapeOf(some), nested: false };
}

function caseOf(schema: Schema): Case | null {
  if (typeof schema.const === 'string') return { name: schema.const, payload: null };
  if (!isSchema(schema.properties)) return null;
  const [only, ...others] = Object.entries(schema.properties);
  if (only === undefined || others.length > 0) return null;
  const [name, payload] = only;
  // `{"kind": "circle"}`: the value names the case, not the key.
  if ('$ref' in schema || (isSchema(payload) && 'const' in payload)) return null;
  return { name, payload: shapeOf(payload) };
}

function shapeOfInteger(schema: Schema): Shape {
  const { minimum, maximum } = schema;
  const known = typeof minimum === 'number' && typeof maximum === 'number';
  if (known && Number.isSafeInteger(minimum) && Number.isSafeInteger(maximum)) {
    return { kind: 'integer', min: minimum, max: maximum };
  }
  return { kind: 'wide', ...(minimum === 0 ? U64 : S64), quoted: false };
}

function shapeOfWide(integer: Schema, pattern: string): Shape {
  const unsigned = integer.minimum === 0 || !pattern.includes('-');
  return { kind: 'wide', ...(unsigned ? U64 : S64), quoted: true };
}

function shapeOfArray(schema: Schema): Shape {
  if (Array.isArray(schema.prefixItems)) return { kind: 'tuple', items: schema.prefixItems.map(shapeOf) };
  if (!isSchema(schema.items)) return { kind: 'any' };
  const names = strings(schema.items.enum);
  if (names !== null && schema.uniqueItems === true) return { kind: 'flags', names };
  const item = shapeOf(schema.items);
  const { minItems, maxItems } = schema;
  // A list of a fixed length is a tuple of one type.
  if (typeof minItems === 'number' && minItems === maxItems && minItems <= FIXED_ITEMS_MAX) {
    return { kind: 'tuple', items: Array.from({ length: minItems }, () => item) };
  }
  return { kind: 'list', item };
}

function shapeOfObject(schema: Schema): Shape {
  if (!isSchema(schema.properties)) return { kind: 'any' };
  const properties = schema.properties;
  const keys = Object.keys(properties);
  const required = (strings(schema.required) ?? []).filter((name) => name in properties);
  // Not every writer of JSON keeps the order of keys; where the keys contradict `required`, that is the declaration's.
  const kept = keys.filter((name) => required.includes(name)).join('\n') === required.join('\n');
  const fields = kept ? keys : [...required, ...keys.filter((name) => !required.includes(name))];
  return { kind: 'record', fields: fields.map((name) => ({ name, shape: shapeOf(properties[name]) })) };
}

function isSchema(value: unknown): value is Schema {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isNull(schema: Schema): boolean {
  return schema.type === 'null' || ('const' in schema && schema.const === null);
}

function strings(value: unknown): string[] | null {
  return Array.isArray(value) && value.every((item) => typeof item === 'string') ? value : null;
}
