// The arguments of one call while they are being written, by form or as raw JSON. Whichever was edited last is the
// truth and the other follows. A raw text that does not parse is kept as typed, beside the last values that did.
import { isObject, type Json, JsonError, parseJson, printJson } from '../json/json';
import { faultsOf, type PlacedFault } from './check';
import { blank, jsonOf, type Node, nodeOf } from './node';
import { type Shape, shapeOf } from './shape';

export interface Param {
  name: string;
  type: string;
  shape: Shape;
}

export interface ArgsDraft {
  node: Node;
  /** What was typed as raw JSON; null when the form was edited last and the text follows from it. */
  text: string | null;
  /** Why `text` cannot be read; `node` then still holds what was read last. */
  unreadable: string | null;
}

export function paramsOf(params: { name: string; type: string; schema: unknown }[]): Param[] {
  return params.map(({ name, type, schema }) => ({ name, type, shape: shapeOf(schema) }));
}

export function blankArgs(params: Param[]): ArgsDraft {
  return { node: blank(tuple(params)), text: null, unreadable: null };
}

/** Arguments as the API takes them: by position, or by name. */
export function argsFrom(params: Param[], json: Json): ArgsDraft {
  return { node: nodeOf(tuple(params), byPosition(params, json)), text: null, unreadable: null };
}

export function editNode(node: Node): ArgsDraft {
  return { node, text: null, unreadable: null };
}

export function editText(params: Param[], draft: ArgsDraft, text: string): ArgsDraft {
  try {
    const node = nodeOf(tuple(params), byPosition(params, parseJson(text)));
    return { node, text, unreadable: null };
  } catch (error) {
    const why = error instanceof JsonError ? error.message : String(error);
    return { node: draft.node, text, unreadable: why };
  }
}

export function textOf(params: Param[], draft: ArgsDraft): string {
  return draft.text ?? printJson(jsonOf(tuple(params), draft.node));
}

export function argsJson(params: Param[], draft: ArgsDraft): Json {
  return jsonOf(tuple(params), draft.node);
}

export function argsFaults(params: Param[], draft: ArgsDraft): PlacedFault[] {
  if (draft.unreadable !== null)
    return [{ kind: 'wrong', message: `Not JSON: ${draft.unreadable}.`, path: '' }];
  const { node } = draft;
  if (node.kind !== 'items') return faultsOf(tuple(params), node);
  // An argument is known by its name, not by its number.
  return params.flatMap(({ name, shape }, at) => {
    const item = node.items[at];
    return item ? faultsOf(shape, item.node, name) : [];
  });
}

export function tuple(params: Param[]): Shape {
  return { kind: 'tuple', items: params.map(({ shape }) => shape) };
}

function byPosition(params: Param[], json: Json): Json {
  if (!isObject(json)) return json;
  const names = params.map(({ name }) => name);
  // A name that no parameter has: left as it is, so that it is shown as what does not fit.
  if (Object.keys(json).some((name) => !names.includes(name))) return json;
  return names.map((name) => json[name] ?? null);
}
