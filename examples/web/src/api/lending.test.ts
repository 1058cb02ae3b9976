import { expect, test } from 'vitest';
import { parseJson } from '../json/json';
import { decodeCapabilities } from './lending';

const SCHEMA = `{
  "title": "Grants", "type": "object",
  "properties": {
    "http": {
      "type": "object",
      "description": "What one program\\nmay ask.\\n\\n\`\`\`\\n# use x;\\n\`\`\`\\nSee [\`Rule\`](struct.Rule.html).",
      "examples": [{ "allow": [{ "host": "api.test" }] }, {}],
      "properties": {
        "allow": { "type": "array", "items": { "$ref": "#/$defs/http.Rule" }, "description": "Rules.", "default": [] },
        "caps": { "$ref": "#/$defs/http.Caps", "description": "Numbers." }
      }
    },
    "kv": {
      "type": "object", "required": ["stores"],
      "properties": { "stores": { "type": "object", "additionalProperties": { "$ref": "#/$defs/kv.Store" } } }
    },
    "none": true
  },
  "$defs": {
    "http.Rule": {
      "type": "object", "required": ["host"],
      "properties": {
        "host": { "type": "string" },
        "port": { "type": ["integer", "null"] },
        "scheme": { "$ref": "#/$defs/http.Scheme", "default": "https" },
        "methods": { "type": "array", "items": { "type": "string" } }
      }
    },
    "http.Scheme": { "oneOf": [{ "const": "https" }, { "const": "http" }], "description": "How it travels." },
    "http.Caps": { "type": "object", "properties": { "total_ms": { "type": ["integer", "null"] } } },
    "kv.Store": { "type": "object", "properties": { "mode": { "enum": ["a", "b"] }, "space": { "type": "string", "x-program-name": true }, "below": { "$ref": "#/$defs/kv.Store" } } }
  }
}`;

const [http, kv, ...others] = decodeCapabilities(parseJson(SCHEMA));
const fieldAt = (path: string) =>
  [...(http?.fields ?? []), ...(kv?.fields ?? [])].find((f) => f.path === path);

test('each capability comes with its words, its first example, and its fields in order', () => {
  expect([http?.id, kv?.id, others]).toEqual(['http', 'kv', []]);
  expect(http?.about).toBe('What one program may ask.\nSee `Rule`.');
  expect(http?.example).toEqual({ allow: [{ host: 'api.test' }] });
  expect(kv?.example).toBe(null);
  expect(http?.fields.map(({ path }) => path)).toEqual([
    'allow',
    'allow[].host',
    'allow[].port',
    'allow[].scheme',
    'allow[].methods',
    'caps',
    'caps.total_ms',
  ]);
});

test('a field says its type, its default and whether it is needed, through references too', () => {
  expect(fieldAt('allow')).toMatchObject({ type: 'list of object', default: [], required: false });
  expect(fieldAt('allow[].host')).toMatchObject({ type: 'string', required: true, default: undefined });
  expect(fieldAt('allow[].port')?.type).toBe('integer');
  expect(fieldAt('allow[].methods')?.type).toBe('list of string');
  expect(fieldAt('allow[].scheme')).toMatchObject({
    type: '"https" or "http"',
    default: 'https',
    about: 'How it travels.',
  });
  expect(fieldAt('caps')).toMatchObject({ type: 'object', about: 'Numbers.' });
  expect(fieldAt('stores')).toMatchObject({ type: 'object: for each name an object', required: true });
  expect(fieldAt('stores.*.mode')).toMatchObject({ type: '"a" or "b"', named: false });
  expect(fieldAt('stores.*.space')?.named).toBe(true);
});

test('a schema that refers to itself ends', () => {
  const depths = (kv?.fields ?? []).map(({ path }) => path.split('.below').length - 1);
  expect(Math.max(...depths)).toBeLessThan(10);
  expect(Math.max(...depths)).toBeGreaterThan(1);
});

test('what is no schema of grants says so', () => {
  expect(() => decodeCapabilities(parseJson('[]'))).toThrow('`properties` of the schema of grants');
});
