// What has been typed into a form: one node for each place of a shape, holding the text itself and not its meaning,
// so that "1." on the way to "1.5" survives. A node that is switched off (an absent option, another case of a
// variant) keeps what it held. `misfit` carries JSON that the shape has no place for, until someone decides about it.
import { isObject, type Json, type JsonObject, parseJson, printJson } from '../json/json';
import type { Shape } from './shape';

export type Node =
  | { kind: 'text'; text: string }
  | { kind: 'bool'; value: boolean }
  | { kind: 'enum'; name: string }
  | { kind: 'flags'; names: string[] }
  | { kind: 'option'; set: boolean; inner: Node }
  | { kind: 'variant'; name: string; payloads: Record<string, Node> }
  | { kind: 'record'; fields: Record<string, Node> }
  | { kind: 'items'; items: Item[] }
  | { kind: 'bytes'; base64: string; file: string | null }
  | { kind: 'null' }
  | { kind: 'misfit'; value: Json };

/** An item knows itself by a number, so that removing one leaves the focus and the text of its neighbours alone. */
export interface Item {
  id: number;
  node: Node;
}

let lastId = 0;
export function newItem(node: Node): Item {
  lastId += 1;
  return { id: lastId, node };
}

export function blank(shape: Shape): Node {
  switch (shape.kind) {
    case 'bool':
      return { kind: 'bool', value: false };
    case 'enum':
      return { kind: 'enum', name: shape.names[0] ?? '' };
    case 'flags':
      return { kind: 'flags', names: [] };
    case 'option':
      return { kind: 'option', set: false, inner: blank(shape.inner) };
    case 'variant': {
      const payloads = shape.cases.flatMap(({ name, payload }) =>
        payload ? [[name, blank(payload)] as const] : [],
      );
      return { kind: 'variant', name: shape.cases[0]?.name ?? '', payloads: Object.fromEntries(payloads) };
    }
    case 'record':
      return record(shape.fields.map(({ name, shape }) => [name, blank(shape)]));
    case 'tuple':
      return { kind: 'items', items: shape.items.map((item) => newItem(blank(item))) };
    case 'list':
      return { kind: 'items', items: [] };
    case 'bytes':
      return { kind: 'bytes', base64: '', file: null };
    case 'null':
      return { kind: 'null' };
    default:
      return { kind: 'text', text: '' };
  }
}

/** The node that shows `json`; what has no place in the shape becomes a misfit and is not lost. */
export function nodeOf(shape: Shape, json: Json): Node {
  return place(shape, json) ?? { kind: 'misfit', value: json };
}

function place(shape: Shape, json: Json): Node | null {
  switch (shape.kind) {
    case 'integer':
    case 'wide':
    case 'float':
      if (json === null) return { kind: 'text', text: '' };
      if (Object.is(json, -0)) return { kind: 'text', text: '-0' };
      return typeof json === 'object' || typeof json === 'boolean'
        ? null
        : { kind: 'text', text: String(json) };
    case 'string':
    case 'char':
      return typeof json === 'string' ? { kind: 'text', text: json } : null;
    case 'bool':
      return typeof json === 'boolean' ? { kind: 'bool', value: json } : null;
    case 'enum':
      return typeof json === 'string' && shape.names.includes(json) ? { kind: 'enum', name: json } : null;
    case 'flags': {
      const names = Array.isArray(json) ? json.filter((name) => typeof name === 'string') : [];
      const known =
        Array.isArray(json) && names.length === json.length && names.every((n) => shape.names.includes(n));
      return known ? { kind: 'flags', names: shape.names.filter((name) => names.includes(name)) } : null;
    }
    case 'option':
      return placeOption(shape, json);
    case 'variant':
      return placeVariant(shape, json);
    case 'record':
      return isObject(json) ? placeRecord(shape.fields, json) : null;
    case 'tuple':
      if (!Array.isArray(json) || json.length > shape.items.length) return null;
      return { kind: 'items', items: shape.items.map((item, at) => newItem(nodeAt(item, json[at]))) };
    case 'list':
      return Array.isArray(json)
        ? { kind: 'items', items: json.map((item) => newItem(nodeOf(shape.item, item))) }
        : null;
    case 'bytes':
      return placeBytes(json);
    case 'null':
      return json === null ? { kind: 'null' } : null;
    case 'any':
      return { kind: 'text', text: json === null ? '' : printJson(json) };
  }
}

function placeOption(shape: Extract<Shape, { kind: 'option' }>, json: Json): Node | null {
  if (json === null) return blank(shape);
  if (!shape.nested) return { kind: 'option', set: true, inner: nodeOf(shape.inner, json) };
  if (!isObject(json) || Object.keys(json).join() !== 'some') return null;
  return { kind: 'option', set: true, inner: nodeAt(shape.inner, json.some) };
}

function placeVariant(shape: Extract<Shape, { kind: 'variant' }>, json: Json): Node | null {
  const base = blank(shape);
  if (base.kind !== 'variant') return null;
  if (typeof json === 'string') {
    const found = shape.cases.some(({ name, payload }) => name === json && payload === null);
    return found ? { ...base, name: json } : null;
  }
  if (!isObject(json)) return null;
  const [name, ...others] = Object.keys(json);
  const found = shape.cases.find((one) => one.name === name);
  if (name === undefined || others.length > 0 || !found?.payload) return null;
  return { ...base, name, payloads: { ...base.payloads, [name]: nodeAt(found.payload, json[name]) } };
}

function placeRecord(fields: { name: string; shape: Shape }[], json: JsonObject): Node | null {
  const known = new Set(fields.map(({ name }) => name));
  if (Object.keys(json).some((name) => !known.has(name))) return null;
  return record(fields.map(({ name, shape }) => [name, nodeAt(shape, json[name])]));
}

function placeBytes(json: Json): Node | null {
  if (isObject(json)) {
    return typeof json.base64 === 'string' && Object.keys(json).length === 1
      ? { kind: 'bytes', base64: json.base64, file: null }
      : null;
  }
  if (!Array.isArray(json)) return null;
  const bytes = json.filter(
    (byte) => typeof byte === 'number' && Number.isInteger(byte) && byte >= 0 && byte < 256,
  );
  return bytes.length === json.length
    ? { kind: 'bytes', base64: toBase64(Uint8Array.from(bytes as number[])), file: null }
    : null;
}

function nodeAt(shape: Shape, json: Json | undefined): Node {
  return json === undefined ? blank(shape) : nodeOf(shape, json);
}

function record(fields: [string, Node][]): Node {
  return { kind: 'record', fields: Object.fromEntries(fields) };
}

/** The JSON of a node. A text that means nothing yet is passed on as a string, so that raw JSON shows it too. */
export function jsonOf(shape: Shape, node: Node): Json {
  if (node.kind === 'misfit') return node.value;
  switch (shape.kind) {
    case 'integer':
      return node.kind === 'text' ? integerOf(node.text, false) : null;
    case 'wide':
      return node.kind === 'text' ? integerOf(node.text, shape.quoted) : null;
    case 'float':
      return node.kind === 'text' ? floatOf(node.text) : null;
    case 'string':
    case 'char':
      return node.kind === 'text' ? node.text : null;
    case 'bool':
      return node.kind === 'bool' && node.value;
    case 'enum':
      return node.kind === 'enum' ? node.name : null;
    case 'flags':
      return node.kind === 'flags' ? node.names : null;
    case 'option': {
      if (node.kind !== 'option' || !node.set) return null;
      const inner = jsonOf(shape.inner, node.inner);
      return shape.nested ? { some: inner } : inner;
    }
    case 'variant': {
      if (node.kind !== 'variant') return null;
      const payload = shape.cases.find(({ name }) => name === node.name)?.payload;
      const inner = node.payloads[node.name];
      return payload && inner ? { [node.name]: jsonOf(payload, inner) } : node.name;
    }
    case 'record': {
      if (node.kind !== 'record') return null;
      return Object.fromEntries(
        shape.fields.map(({ name, shape }) => [name, jsonOf(shape, node.fields[name] ?? blank(shape))]),
      );
    }
    case 'tuple':
      if (node.kind !== 'items') return null;
      return shape.items.map((item, at) => jsonOf(item, node.items[at]?.node ?? blank(item)));
    case 'list':
      return node.kind === 'items' ? node.items.map((item) => jsonOf(shape.item, item.node)) : null;
    case 'bytes':
      return node.kind === 'bytes' ? { base64: node.base64.replace(/\s+/g, '') } : null;
    case 'null':
      return null;
    case 'any':
      return node.kind === 'text' ? anyOf(node.text) : null;
  }
}

function integerOf(text: string, quoted: boolean): Json {
  const trimmed = text.trim();
  if (trimmed === '') return null;
  if (!/^-?[0-9]+$/.test(trimmed)) return text;
  const value = BigInt(trimmed);
  const small = Number(value);
  if (Number.isSafeInteger(small)) return small;
  // Beyond 2^53 not every reader of JSON keeps the digits of a number; a task's does, and takes nothing else.
  return quoted ? value.toString() : value;
}

function floatOf(text: string): Json {
  const trimmed = text.trim();
  if (trimmed === '') return null;
  if (/^(NaN|-?Infinity)$/.test(trimmed)) return trimmed;
  const value = Number(trimmed);
  return /^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/.test(trimmed) && Number.isFinite(value) ? value : text;
}

function anyOf(text: string): Json {
  if (text.trim() === '') return null;
  try {
    return parseJson(text);
  } catch {
    return text;
  }
}

export function toBase64(bytes: Uint8Array): string {
  let binary = '';
  // In pieces: a call takes only so many arguments.
  for (let at = 0; at < bytes.length; at += 8192)
    binary += String.fromCharCode(...bytes.subarray(at, at + 8192));
  return btoa(binary);
}
