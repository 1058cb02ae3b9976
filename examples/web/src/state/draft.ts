// One call while it is being written: everything that was typed for one export of one module. `requestOf` turns it
// into what is sent, or says what is missing. Pure.
import type { CallRequest, Export, HandlerRequest } from '../api/types';
import { type ArgsDraft, argsFaults, argsFrom, argsJson, blankArgs, paramsOf } from '../form/args';
import type { Fault } from '../form/check';
import type { Json } from '../json/json';
import { LIMITS, type LimitId } from './limits';

export interface Line {
  id: number;
  text: string;
}

export interface Pair {
  id: number;
  key: string;
  value: string;
}

export interface CallDraft {
  args: ArgsDraft;
  view: 'form' | 'json';
  cli: Line[];
  env: Pair[];
  stdin: string;
  http: { method: string; path: string; headers: Pair[]; body: string };
  limits: Partial<Record<LimitId, string>>;
  fuel: boolean;
  seed: string;
  /** A run was tried: from then on, fields that were left empty say so too. */
  attempted: boolean;
}

let lastId = 0;
export function nextId(): number {
  lastId += 1;
  return lastId;
}

export function blankDraft(target: Export, args: Json | null = null): CallDraft {
  const params = target.kind === 'function' ? paramsOf(target.params) : [];
  return {
    args: args === null ? blankArgs(params) : argsFrom(params, args),
    view: 'form',
    cli: [],
    env: [],
    stdin: '',
    http: { method: 'GET', path: '/', headers: [], body: '' },
    limits: {},
    fuel: false,
    seed: '',
    attempted: false,
  };
}

export function draftFaults(target: Export, draft: CallDraft): Fault[] {
  const args = target.kind === 'function' ? argsFaults(paramsOf(target.params), draft.args) : [];
  return [...args, ...limitFaults(draft), ...pathFaults(target, draft)];
}

export function callRequestOf(target: Export, draft: CallDraft): CallRequest {
  const request: CallRequest = { function: target.name };
  if (target.kind === 'function') request.args = argsJson(paramsOf(target.params), draft.args);
  if (target.kind === 'command') {
    if (draft.cli.length > 0) request.args_cli = draft.cli.map(({ text }) => text);
    const env = draft.env.filter(({ key }) => key !== '');
    if (env.length > 0) request.env = Object.fromEntries(env.map(({ key, value }) => [key, value]));
    if (draft.stdin !== '') request.stdin = draft.stdin;
  }
  const limits = limitsOf(draft);
  if (Object.keys(limits).length > 0) request.limits = limits;
  if (draft.fuel) request.metering = 'fuel';
  if (draft.seed.trim() !== '') request.deterministic = { seed: Number(draft.seed) };
  return request;
}

export function handlerRequestOf(draft: CallDraft): HandlerRequest {
  const { method, path, headers, body } = draft.http;
  const named = headers.filter(({ key }) => key.trim() !== '');
  return { method, path, body, headers: named.map(({ key, value }) => [key.trim(), value]) };
}

/** The limits in force, as the API's own names and units. */
export function limitsOf(draft: CallDraft): Record<string, number> {
  const set = LIMITS.flatMap(({ id, field, scale }) => {
    const text = draft.limits[id]?.trim() ?? '';
    return text === '' ? [] : [[field, Math.round(Number(text) * scale)] as const];
  });
  return Object.fromEntries(set);
}

export function limitFault(text: string): Fault | null {
  if (text.trim() === '') return null;
  return /^(\d+\.?\d*|\.\d+)$/.test(text.trim()) && Number(text) > 0
    ? null
    : { kind: 'wrong', message: 'A number above zero, or nothing for the server’s own limit.' };
}

export function seedFault(text: string): Fault | null {
  return /^\d{0,15}$/.test(text.trim())
    ? null
    : { kind: 'wrong', message: 'A whole number of at most 15 digits.' };
}

export function headerFault({ key }: Pair): Fault | null {
  return /^[!#$%&'*+.^_`|~0-9A-Za-z-]*$/.test(key.trim())
    ? null
    : { kind: 'wrong', message: 'Not a header name.' };
}

function limitFaults(draft: CallDraft): Fault[] {
  const faults = LIMITS.map(({ id }) => limitFault(draft.limits[id] ?? ''));
  return [...faults, seedFault(draft.seed)].filter((fault) => fault !== null);
}

function pathFaults(target: Export, draft: CallDraft): Fault[] {
  return target.kind === 'http' ? draft.http.headers.map(headerFault).filter((fault) => fault !== null) : [];
}
