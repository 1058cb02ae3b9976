// What a module asks for and what it was granted: how imports are grouped, and grants while they are being written, as
// JSON text. Pure; the server says what fits.
import type { Problem } from '../api/problem';
import type { Granted, Import, Lending, Module } from '../api/types';
import {
  isObject,
  type Json,
  JsonError,
  type JsonObject,
  parseJson,
  printFlat,
  printJson,
} from '../json/json';

export interface GrantDraft {
  text: string;
  /** Where it comes from; what is not typed by the visitor is nobody's wish yet. */
  origin: 'typed' | 'example';
  /** What the server said of exactly this text. */
  problem: Problem | null;
}

export type GroupId = 'needed' | 'unserved' | 'granted' | 'closed' | 'provided';

export interface Group {
  id: GroupId;
  /** By the capability that serves them, or would; null where none does. */
  parts: { capability: string | null; imports: Import[] }[];
  count: number;
}

const ORDER: GroupId[] = ['needed', 'unserved', 'granted', 'closed', 'provided'];

/** What somebody has to look at comes first. */
export function groupsOf(imports: Import[]): Group[] {
  return ORDER.flatMap((id) => {
    const own = imports.filter((one) => groupOf(one) === id);
    const capabilities = [...new Set(own.map(({ capability }) => capability))];
    const parts = capabilities.map((capability) => ({
      capability,
      imports: own.filter((one) => one.capability === capability),
    }));
    return own.length === 0 ? [] : [{ id, parts, count: own.length }];
  });
}

export function groupOf({ status, capability }: Import): GroupId {
  if (status !== 'missing') return status;
  return capability === null ? 'unserved' : 'needed';
}

/** What an import gives, where that is not said by the grant that would open it. */
function wordsOf(one: Import): string {
  const { status, about, advice } = one;
  if (advice === null || groupOf(one) === 'unserved') return about;
  return status === 'missing' ? '' : about.replace(`; ${advice}`, '');
}

/** Many interfaces of one package have one purpose: it is said once, with `NAME` where it names each of them. */
export function byWords(imports: Import[]): { words: string; imports: Import[] }[] {
  const kinds = new Map<string, Import[]>();
  for (const one of imports) {
    const kind = wordsOf(one).replaceAll(`\`${one.name}\``, '`NAME`');
    kinds.set(kind, [...(kinds.get(kind) ?? []), one]);
  }
  return [...kinds].map(([kind, alike]) => {
    const [first, ...others] = alike;
    return { words: first !== undefined && others.length === 0 ? wordsOf(first) : kind, imports: alike };
  });
}

/** Whether a grant would let it run. */
export function needsGrant({ imports }: Module): boolean {
  return imports.some((one) => groupOf(one) === 'needed');
}

/** What stands in the editor: what was typed, else what is granted. */
export function grantText(draft: GrantDraft | undefined, granted: Granted): string {
  return draft?.text ?? printGrants(granted.grants);
}

// Grants are narrow and deep: in columns as narrow as a panel's they are read at a glance.
const COLUMNS = 44;

export function printGrants(grants: JsonObject): string {
  return printJson(grants, COLUMNS);
}

export function readGrants(text: string): { grants: JsonObject } | { fault: string } {
  try {
    const json = parseJson(text);
    if (isObject(json)) return { grants: json };
    return { fault: 'Expected an object: for each capability’s id its grant.' };
  } catch (error) {
    return { fault: `Not JSON: ${error instanceof JsonError ? error.message : String(error)}.` };
  }
}

/** The text with a capability's grant in it. One that stands there stays as it is, for somebody wrote it. */
export function withGrant(text: string, id: string, grant: Json): { text: string } | { fault: string } {
  const read = readGrants(text.trim() === '' ? '{}' : text);
  if ('fault' in read) return read;
  if (Object.hasOwn(read.grants, id)) return { text };
  return { text: printGrants({ ...read.grants, [id]: grant }) };
}

/** What the schema has as an example for a capability, or an empty grant. Of files, a module is offered those of its name. */
export function exampleOf(lending: Lending | null, id: string, name: string | null): Json {
  const example = lending?.capabilities.find((capability) => capability.id === id)?.example ?? {};
  return id === 'fs' && name !== null ? withPrefix(example, name) : example;
}

function withPrefix(example: Json, prefix: string): Json {
  if (!isObject(example) || !isObject(example.mounts)) return example;
  const mounts = Object.entries(example.mounts).map(([at, mount]) => [
    at,
    isObject(mount) ? { ...mount, prefix } : mount,
  ]);
  return { ...example, mounts: Object.fromEntries(mounts) };
}

/** The order of fields is no difference. */
export function sameGrants(one: Json, other: Json): boolean {
  return printFlat(ordered(one)) === printFlat(ordered(other));
}

function ordered(json: Json): Json {
  if (Array.isArray(json)) return json.map(ordered);
  if (!isObject(json)) return json;
  const fields = Object.entries(json).sort(([one], [other]) => (one < other ? -1 : 1));
  return Object.fromEntries(fields.map(([key, value]) => [key, ordered(value)]));
}

const NAME_CHARS_MAX = 100;

/** As the server's names are written; null where it is one. */
export function nameFault(name: string): string | null {
  if (name === '') return 'A name is needed.';
  if (name.length > NAME_CHARS_MAX) return `At most ${NAME_CHARS_MAX} characters.`;
  return /^[a-z0-9][a-z0-9._-]*$/.test(name)
    ? null
    : 'Small letters and digits of ASCII, and `.`, `_`, `-` after the first.';
}

/** A name made of a file's; nothing where none of its letters can stand in one. */
export function nameFrom(file: string): string {
  const stem = file.replace(/\.(wasm|wat|wast|txt)$/i, '').toLowerCase();
  const plain = stem.replace(/[^a-z0-9._-]+/g, '-').replace(/^[._-]+|-+$/g, '');
  return plain.startsWith('sha256-') ? '' : plain.slice(0, NAME_CHARS_MAX);
}
