// Reads the server's answers once, at the border: what comes out has the promised form, or an error says which part
// was not there. Unknown fields are ignored, and unknown kinds kept, so that a newer server still works.
import { isObject, type Json, type JsonObject } from '../json/json';
import type {
  Ending,
  Example,
  Export,
  FileChanges,
  FileEntry,
  FolderPage,
  Frame,
  Granted,
  Health,
  Import,
  ImportStatus,
  Module,
  ModuleSummary,
  Outcome,
  Usage,
} from './types';

export class DecodeError extends Error {}

export function decodeHealth(json: Json): Health {
  const from = object(json, 'health');
  return { status: text(from, 'status'), version: text(from, 'version') };
}

export function decodeModules(json: Json): { modules: ModuleSummary[]; next: string | null } {
  const from = object(json, 'module list');
  return { modules: list(from, 'modules').map(decodeSummary), next: maybeText(from, 'next') };
}

export function decodeExamples(json: Json): Example[] {
  return list(object(json, 'examples'), 'examples').map((item) => {
    const from = object(item, 'example');
    return {
      file: text(from, 'file'),
      title: text(from, 'title'),
      about: maybeText(from, 'about') ?? '',
      function: maybeText(from, 'function'),
      args: from.args ?? null,
      name: maybeText(from, 'name'),
      grants: isObject(from.grants) ? from.grants : null,
    };
  });
}

export function decodeGranted(json: Json, headers: Headers): Granted {
  const from = object(json, 'grants');
  const before = isObject(from.before) ? from.before : null;
  return {
    name: text(from, 'name'),
    version: number(from, 'version'),
    id: text(from, 'id'),
    grants: object(from.grants, 'grants'),
    broken: textsOf(from.broken),
    since: maybeText(from, 'since'),
    tag: headers.get('etag'),
    before: before && {
      version: number(before, 'version'),
      id: text(before, 'id'),
      grants: object(before.grants, 'grants before'),
      since: text(before, 'since'),
    },
  };
}

export function decodeSecrets(json: Json): string[] {
  return textsIn(list(object(json, 'secrets'), 'secrets'));
}

export function decodeModule(json: Json): Module {
  const from = object(json, 'module');
  return {
    ...decodeSummary(json),
    exports: list(from, 'exports').map(decodeExport),
    imports: list(from, 'imports').map(decodeImport),
    schemas_left_out: maybeNumber(from, 'schemas_left_out') ?? 0,
  };
}

export function decodeFolder(json: Json): FolderPage {
  const from = object(json, 'directory');
  return { entries: list(from, 'entries').map(decodeEntry), next: maybeText(from, 'next') };
}

function decodeEntry(json: Json): FileEntry {
  const from = object(json, 'entry');
  const kind = text(from, 'kind');
  return {
    name: text(from, 'name'),
    kind: kind === 'file' || kind === 'directory' || kind === 'symlink' ? kind : 'other',
    size: maybeNumber(from, 'size'),
    modified_ms: maybeNumber(from, 'modified_ms') ?? 0,
  };
}

export function decodeOutcome(json: Json): Outcome {
  const from = object(json, 'outcome');
  return {
    call: maybeNumber(from, 'call'),
    ending: decodeEnding(object(from.ending, 'ending')),
    usage: decodeUsage(object(from.usage, 'usage')),
    stdout: maybeText(from, 'stdout') ?? '',
    stderr: maybeText(from, 'stderr') ?? '',
  };
}

function decodeSummary(json: Json): ModuleSummary {
  const from = object(json, 'module');
  return {
    id: text(from, 'id'),
    name: maybeText(from, 'name'),
    version: maybeNumber(from, 'version'),
    size_bytes: number(from, 'size_bytes'),
    kind: text(from, 'kind'),
    created: maybeText(from, 'created') ?? '',
  };
}

function decodeExport(json: Json): Export {
  const from = object(json, 'export');
  const name = text(from, 'name');
  const kind = text(from, 'kind');
  if (kind === 'command' || kind === 'http') return { name, kind };
  if (kind !== 'function') {
    return {
      name,
      kind: 'unsupported',
      reason: maybeText(from, 'reason') ?? `this page does not know the kind \`${kind}\``,
    };
  }
  const params = list(from, 'params').map((item) => {
    const param = object(item, 'parameter');
    return { name: text(param, 'name'), type: text(param, 'type'), schema: param.schema };
  });
  const result = isObject(from.result) ? { type: text(from.result, 'type') } : null;
  return { name, kind, about: maybeText(from, 'about') ?? '', params, result };
}

const STATUSES: ImportStatus[] = ['provided', 'closed', 'granted', 'broken'];

function decodeImport(json: Json): Import {
  const from = object(json, 'import');
  const status = text(from, 'status');
  return {
    name: text(from, 'name'),
    items: Array.isArray(from.items) ? textsIn(from.items) : [],
    status: STATUSES.find((known) => known === status) ?? 'missing',
    about: maybeText(from, 'about') ?? '',
    advice: maybeText(from, 'advice'),
    capability: maybeText(from, 'capability'),
  };
}

function decodeEnding(from: JsonObject): Ending {
  const kind = text(from, 'kind');
  switch (kind) {
    case 'returned':
      return { kind, value: from.value ?? null };
    case 'failed':
      return {
        kind,
        code: maybeText(from, 'code') ?? '',
        message: maybeText(from, 'message') ?? '',
        retryable: from.retryable === true,
        exit_code: maybeNumber(from, 'exit_code'),
        value: from.value,
      };
    case 'trapped':
      return {
        kind,
        code: maybeText(from, 'code') ?? '',
        message: maybeText(from, 'message') ?? '',
        backtrace: Array.isArray(from.backtrace) ? from.backtrace.map(decodeFrame) : [],
      };
    case 'exhausted':
      return {
        kind,
        limit: text(from, 'limit'),
        allowed: number(from, 'allowed'),
        unit: maybeText(from, 'unit') ?? '',
      };
    case 'cancelled':
      return { kind };
    default:
      throw new DecodeError(`an ending of kind \`${kind}\` is not known to this page`);
  }
}

function decodeFrame(json: Json): Frame {
  const from = object(json, 'backtrace');
  return { function: maybeText(from, 'function'), offset: maybeNumber(from, 'offset') };
}

function decodeUsage(from: JsonObject): Usage {
  const numbers = numbersIn(from);
  const capabilities = isObject(from.capabilities) ? Object.entries(from.capabilities) : [];
  return {
    numbers,
    capabilities: Object.fromEntries(capabilities.map(([id, used]) => [id, usedBy(used)])),
    changes: isObject(from.capabilities) ? decodeChanges(from.capabilities.fs) : null,
  };
}

/** What every capability counts, and what one counts by its own names. */
function usedBy(used: Json): Record<string, number> {
  if (!isObject(used)) return {};
  return { ...numbersIn(used), ...(isObject(used.counts) ? numbersIn(used.counts) : {}) };
}

function decodeChanges(used: Json | undefined): FileChanges | null {
  if (!isObject(used) || !isObject(used.report)) return null;
  const { report } = used;
  const texts = (key: string) => {
    const items = report[key];
    return Array.isArray(items) ? textsIn(items) : [];
  };
  return {
    added: texts('added'),
    changed: texts('changed'),
    removed: texts('removed'),
    unnamed: maybeNumber(report, 'unnamed') ?? 0,
  };
}

function numbersIn(from: JsonObject): Record<string, number> {
  const found = Object.entries(from).flatMap(([name, value]) =>
    typeof value === 'number' || typeof value === 'bigint' ? [[name, Number(value)] as const] : [],
  );
  return Object.fromEntries(found);
}

function object(json: Json | undefined, what: string): JsonObject {
  if (!isObject(json)) throw new DecodeError(`expected an object for the ${what}`);
  return json;
}

function list(from: JsonObject, key: string): Json[] {
  const value = from[key];
  if (!Array.isArray(value)) throw new DecodeError(`expected a list in \`${key}\``);
  return value;
}

function textsIn(items: Json[]): string[] {
  return items.filter((item) => typeof item === 'string');
}

/** The texts of an object, by name; none where it is not there. */
function textsOf(json: Json | undefined): Record<string, string> {
  const entries = isObject(json) ? Object.entries(json) : [];
  return Object.fromEntries(
    entries.filter((entry): entry is [string, string] => typeof entry[1] === 'string'),
  );
}

function text(from: JsonObject, key: string): string {
  const value = from[key];
  if (typeof value !== 'string') throw new DecodeError(`expected a text in \`${key}\``);
  return value;
}

function maybeText(from: JsonObject, key: string): string | null {
  const value = from[key];
  return typeof value === 'string' ? value : null;
}

function number(from: JsonObject, key: string): number {
  const value = from[key];
  if (typeof value !== 'number' && typeof value !== 'bigint')
    throw new DecodeError(`expected a number in \`${key}\``);
  return Number(value);
}

function maybeNumber(from: JsonObject, key: string): number | null {
  const value = from[key];
  return typeof value === 'number' || typeof value === 'bigint' ? Number(value) : null;
}
