// What is wrong with what has been typed, said at the place where it is. An empty list means that the node's JSON
// satisfies the schema. Messages are whole sentences: they stand beside the field.
import { JsonError, parseJson, printFlat } from '../json/json';
import type { Node } from './node';
import type { Shape } from './shape';

/** `missing` is shown once a run was tried, `wrong` at once: nobody is scolded for a field not yet reached. */
export interface Fault {
  kind: 'missing' | 'wrong';
  message: string;
}

export interface PlacedFault extends Fault {
  /** Where it is, as in `order.lines[0].quantity`. */
  path: string;
}

export function faultsOf(shape: Shape, node: Node, path = ''): PlacedFault[] {
  const own = faultAt(shape, node);
  if (own !== null) return [{ ...own, path }];
  if (shape.kind === 'option' && node.kind === 'option') {
    return node.set ? faultsOf(shape.inner, node.inner, path) : [];
  }
  if (shape.kind === 'variant' && node.kind === 'variant') {
    const payload = shape.cases.find(({ name }) => name === node.name)?.payload;
    const inner = node.payloads[node.name];
    return payload && inner ? faultsOf(payload, inner, below(path, node.name)) : [];
  }
  if (shape.kind === 'record' && node.kind === 'record') {
    return shape.fields.flatMap(({ name, shape }) => {
      const field = node.fields[name];
      return field ? faultsOf(shape, field, below(path, name)) : [];
    });
  }
  if (node.kind === 'items') {
    return node.items.flatMap((item, at) => {
      const inner = shape.kind === 'list' ? shape.item : shape.kind === 'tuple' ? shape.items[at] : undefined;
      return inner ? faultsOf(inner, item.node, `${path}[${at}]`) : [];
    });
  }
  return [];
}

function below(path: string, name: string): string {
  return path === '' ? name : `${path}.${name}`;
}

/** The fault of this one place, without those inside it. */
export function faultAt(shape: Shape, node: Node): Fault | null {
  if (node.kind === 'misfit')
    return wrong(`Expected ${nameOf(shape)}, found ${short(printFlat(node.value))}.`);
  if (node.kind === 'bytes') return isBase64(node.base64) ? null : wrong('This is not base64.');
  if (node.kind !== 'text') return null;
  switch (shape.kind) {
    case 'integer':
    case 'wide':
      return faultOfInteger(node.text.trim(), BigInt(shape.min), BigInt(shape.max));
    case 'float':
      return faultOfFloat(node.text.trim());
    case 'char':
      if (node.text === '') return missing('Needs one character.');
      return [...node.text].length === 1 ? null : wrong('Needs exactly one character.');
    case 'any':
      return faultOfJson(node.text);
    default:
      return null;
  }
}

/** A shape in a few words, with its article. */
export function nameOf(shape: Shape): string {
  switch (shape.kind) {
    case 'integer':
    case 'wide':
      return 'an integer';
    case 'float':
      return 'a number';
    case 'bool':
      return '`true` or `false`';
    case 'string':
      return 'a text';
    case 'char':
      return 'one character';
    case 'enum':
      return `one of ${shape.names.map((name) => `\`${name}\``).join(', ')}`;
    case 'flags':
      return `a list of ${shape.names.map((name) => `\`${name}\``).join(', ')}`;
    case 'option':
      return `${nameOf(shape.inner)} or \`null\``;
    case 'variant':
      return `one of the cases ${shape.cases.map(({ name }) => `\`${name}\``).join(', ')}`;
    case 'record':
      return `a record of ${shape.fields.map(({ name }) => `\`${name}\``).join(', ')}`;
    case 'tuple':
      return `a list of exactly ${shape.items.length}`;
    case 'list':
      return 'a list';
    case 'bytes':
      return 'bytes, as `{"base64": ".."}`';
    case 'null':
      return '`null`';
    case 'any':
      return 'a JSON value';
  }
}

function faultOfInteger(text: string, min: bigint, max: bigint): Fault | null {
  if (text === '') return missing('Needs an integer.');
  if (!/^-?[0-9]+$/.test(text)) return wrong('Only digits, with `-` in front for a negative number.');
  const value = BigInt(text);
  if (value < min) return wrong(`The smallest value is ${min}.`);
  return value > max ? wrong(`The largest value is ${max}.`) : null;
}

function faultOfFloat(text: string): Fault | null {
  if (text === '') return missing('Needs a number.');
  if (/^(NaN|-?Infinity)$/.test(text)) return null;
  if (!/^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/.test(text)) {
    return wrong('A number such as `1.5` or `2e-3`, or `NaN`, `Infinity`, `-Infinity`.');
  }
  return Number.isFinite(Number(text))
    ? null
    : wrong('Too large for a 64-bit float; write `Infinity` if you mean it.');
}

function faultOfJson(text: string): Fault | null {
  if (text.trim() === '') return missing('Needs a JSON value.');
  try {
    parseJson(text);
    return null;
  } catch (error) {
    return wrong(error instanceof JsonError ? `Not JSON: ${error.message}.` : 'Not JSON.');
  }
}

function isBase64(text: string): boolean {
  const dense = text.replace(/\s+/g, '');
  return dense.length % 4 === 0 && /^[A-Za-z0-9+/]*={0,2}$/.test(dense);
}

function short(text: string): string {
  return text.length <= 40 ? `\`${text}\`` : `\`${text.slice(0, 39)}…\``;
}

const missing = (message: string): Fault => ({ kind: 'missing', message });
const wrong = (message: string): Fault => ({ kind: 'wrong', message });
