// What the server can lend, read from the JSON Schema of grants: for each capability what it is about, an example, and
// its fields, level by level, in the order of the schema. It describes and checks nothing: the server judges.
import { isObject, type Json, type JsonObject, printFlat } from '../json/json';
import { DecodeError } from './decode';
import type { Capability, GrantField } from './types';

// Grants are a few levels deep; a schema that refers to itself would have no end.
const LEVELS_MAX = 6;

export function decodeCapabilities(schema: Json): Capability[] {
  if (!isObject(schema) || !isObject(schema.properties))
    throw new DecodeError('expected an object in `properties` of the schema of grants');
  const definitions = isObject(schema.$defs) ? schema.$defs : {};
  return Object.entries(schema.properties).flatMap(([id, grant]) => {
    if (!isObject(grant)) return [];
    const example = Array.isArray(grant.examples) ? (grant.examples[0] ?? null) : null;
    return [{ id, about: aboutOf(grant), example, fields: fieldsIn(grant, definitions, '', 0) }];
  });
}

function fieldsIn(schema: JsonObject, definitions: JsonObject, path: string, level: number): GrantField[] {
  if (level > LEVELS_MAX) return [];
  const required = Array.isArray(schema.required) ? schema.required : [];
  const named = isObject(schema.properties) ? Object.entries(schema.properties) : [];
  const own = named.flatMap(([name, value]) => {
    const field = resolved(value, definitions);
    const at = path === '' ? name : `${path}.${name}`;
    return [
      {
        path: at,
        type: typeOf(field, definitions),
        required: required.includes(name),
        default: field.default,
        about: aboutOf(field),
        named: field['x-program-name'] === true,
      },
      ...fieldsIn(field, definitions, at, level + 1),
    ];
  });
  const items = isObject(schema.items) ? resolved(schema.items, definitions) : null;
  const others = isObject(schema.additionalProperties)
    ? resolved(schema.additionalProperties, definitions)
    : null;
  return [
    ...own,
    ...(items === null ? [] : fieldsIn(items, definitions, `${path}[]`, level + 1)),
    ...(others === null ? [] : fieldsIn(others, definitions, `${path}.*`, level + 1)),
  ];
}

/** A field with what its reference says; what stands beside the reference comes first. */
function resolved(schema: Json, definitions: JsonObject): JsonObject {
  if (!isObject(schema)) return {};
  const name = typeof schema.$ref === 'string' ? schema.$ref.replace(/^#\/\$defs\//, '') : null;
  const definition = name === null ? undefined : definitions[name];
  return isObject(definition) ? { ...definition, ...schema } : schema;
}

function typeOf(schema: JsonObject, definitions: JsonObject): string {
  const choices = choicesOf(schema);
  if (choices.length > 0) return choices.map(printFlat).join(' or ');
  const types = Array.isArray(schema.type) ? schema.type : [schema.type];
  const words = types.filter((type) => type !== 'null' && typeof type === 'string');
  if (words.includes('array')) {
    const item = isObject(schema.items) ? typeOf(resolved(schema.items, definitions), definitions) : '';
    return item === '' ? 'list' : `list of ${item}`;
  }
  if (words.includes('object') && isObject(schema.additionalProperties)) {
    const value = typeOf(resolved(schema.additionalProperties, definitions), definitions);
    return `object: for each name ${value === 'object' ? 'an object' : value}`;
  }
  return words.join(' or ');
}

function choicesOf(schema: JsonObject): Json[] {
  if (Array.isArray(schema.enum)) return schema.enum;
  if (!Array.isArray(schema.oneOf)) return [];
  const consts = schema.oneOf.flatMap((one) => (isObject(one) && one.const !== undefined ? [one.const] : []));
  return consts.length === schema.oneOf.length ? consts : [];
}

/** A description as sentences: it is written for Rust's documentation, with lines, links and programs of its own. */
function aboutOf({ description }: JsonObject): string {
  if (typeof description !== 'string') return '';
  return description
    .replace(/```[\s\S]*?```/g, '')
    .replace(/\[(`[^`\]]+`)\](\([^)]*\))?/g, '$1')
    .split(/\n{2,}/)
    .map((paragraph) => paragraph.replace(/\s+/g, ' ').trim())
    .filter((paragraph) => paragraph !== '')
    .join('\n');
}
