// One call while it is being written: everything that was typed for one export of one module. `requestOf` turns it
// into what is sent, or says what is missing. Pure.
import type { CallRequest, Export, HandlerRequest } from '../api/types';
import { type ArgsDraft, argsFaults, argsFrom, argsJson, blankArgs, paramsOf } from '../form/args';
import type { Fault } from '../form/check';
import type { Json } from '../json/json';
import { LIMITS, type Limit, type LimitId } from './limits';

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
  const env = target.kind === 'command' ? draft.env.map(envFault).filter((fault) => fault !== null) : [];
  const own = target.kind === 'http' ? handlerFaults(draft) : limitFaults(draft);
  return [...args, ...env, ...own];
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
  if (metersFuel(draft)) request.metering = 'fuel';
  if (draft.seed.trim() !== '') request.deterministic = { seed: Number(draft.seed) };
  return request;
}

export function handlerRequestOf(draft: CallDraft): HandlerRequest {
  const { method, path, headers, body } = draft.http;
  const named = headers.filter(({ key }) => key.trim() !== '');
  return { method, path, body, headers: named.map(({ key, value }) => [key.trim(), value]) };
}

/** The limits in force, as the API's own names and units. */
function limitsOf(draft: CallDraft): Record<string, number> {
  const set = LIMITS.flatMap(({ id, field, scale }) => {
    const text = draft.limits[id]?.trim() ?? '';
    return text === '' ? [] : [[field, Math.round(Number(text) * scale)] as const];
  });
  return Object.fromEntries(set);
}

/** A limit on fuel is met only by a call that counts it. */
export function metersFuel({ fuel, limits }: CallDraft): boolean {
  return fuel || (limits.fuel?.trim() ?? '') !== '';
}

export function limitFault({ scale }: Limit, text: string): Fault | null {
  if (text.trim() === '') return null;
  const asked = /^(\d+\.?\d*|\.\d+)$/.test(text.trim()) ? Math.round(Number(text) * scale) : 0;
  if (asked === 0) return wrong('A number above zero, or nothing for the server’s own limit.');
  return Number.isSafeInteger(asked) ? null : wrong('Larger than any limit that a server knows.');
}

export function seedFault(text: string): Fault | null {
  return /^\d{0,15}$/.test(text.trim()) ? null : wrong('A whole number of at most 15 digits.');
}

/** Browsers take such segments away before they send a path, also where they are written as `%2e`. */
export function pathFault(path: string): Fault | null {
  const segments = path.replace(/\?.*$/, '').split('/');
  return segments.some((segment) => /^(\.|%2e){1,2}$/i.test(segment))
    ? wrong('A browser does not send `.` and `..`: write the path without them.')
    : null;
}

export function envFault({ key, value }: Pair): Fault | null {
  if (key.includes('=')) return wrong('A name has no `=` in it.');
  return key === '' && value !== '' ? wrong('Needs a name.') : null;
}

export function headerFault({ key, value }: Pair): Fault | null {
  const name = key.trim().toLowerCase();
  if (!/^[!#$%&'*+.^_`|~0-9a-z-]*$/.test(name)) return wrong('Not a header name.');
  if (SET_BY_BROWSER.test(name)) return wrong('The browser sets this header itself, a page cannot.');
  if (name === 'authorization') return wrong('This is for the server: it does not pass it on to a module.');
  return /^[\t\x20-\x7e\x80-\xff]*$/.test(value)
    ? null
    : wrong('A header carries only Latin characters: encode the others.');
}

// The Fetch Standard's forbidden request-headers that are not the browser's private business; and `user-agent`, which
// it allows but Chromium drops.
const SET_BY_BROWSER =
  /^(accept-charset|accept-encoding|connection|content-length|cookie2?|date|dnt|expect|host|keep-alive|origin|referer|te|trailer|transfer-encoding|upgrade|user-agent|via|(proxy|sec)-.*)$/;

function limitFaults(draft: CallDraft): Fault[] {
  const faults = LIMITS.map((limit) => limitFault(limit, draft.limits[limit.id] ?? ''));
  return [...faults, seedFault(draft.seed)].filter((fault) => fault !== null);
}

function handlerFaults({ http }: CallDraft): Fault[] {
  return [pathFault(http.path), ...http.headers.map(headerFault)].filter((fault) => fault !== null);
}

function wrong(message: string): Fault {
  return { kind: 'wrong', message };
}
