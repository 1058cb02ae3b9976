// The page's one truth: what the server has told, what was typed, what was run. `reduce` is pure; views read it
// and never keep a copy. Which module and function are in view is not here but in the address (see route.ts).
import type { Problem } from '../api/problem';
import type { Example, Health, Module, ModuleSummary } from '../api/types';
import { shortId } from '../format/units';
import type { CallDraft } from './draft';
import type { Result, Run } from './run';

export type Loaded<T> =
  | { state: 'loading' }
  | { state: 'ready'; value: T }
  | { state: 'failed'; problem: Problem };

export interface Upload {
  id: number;
  name: string;
  problem: Problem | null;
}

export interface State {
  health: Loaded<Health>;
  examples: Loaded<Example[]>;
  modules: ModuleSummary[];
  /** The list's own state: `modules` stay in view while the next page loads. */
  listing: Loaded<{ next: string | null }>;
  details: Record<string, Loaded<Module>>;
  labels: Record<string, string>;
  uploads: Upload[];
  drafts: Record<string, CallDraft>;
  /** Newest first. */
  runs: Run[];
  /** The run chosen from the history; null: the newest of the function in view. */
  chosen: number | null;
  /** The dialog for the server's address and token is open. */
  settings: boolean;
  /** Said by the live region. */
  said: string;
}

export type Event =
  | { type: 'health'; health: Loaded<Health> }
  | { type: 'examples'; examples: Loaded<Example[]> }
  | { type: 'listing'; listing: Loaded<{ next: string | null }> }
  | { type: 'listed'; modules: ModuleSummary[]; next: string | null; fresh: boolean }
  | { type: 'detail'; ref: string; detail: Loaded<Module> }
  | { type: 'added'; module: Module; label: string | null }
  | { type: 'deleted'; ref: string }
  | { type: 'upload'; upload: Upload }
  | { type: 'upload-over'; id: number }
  | { type: 'draft'; key: string; draft: CallDraft }
  | { type: 'run'; run: Run }
  | { type: 'run-over'; id: number; result: Result; endedAt: number }
  | { type: 'choose'; id: number | null }
  | { type: 'settings'; open: boolean }
  | { type: 'say'; text: string };

// Each run holds its outcome, which may be large.
const RUNS_MAX = 100;

export const initialState: State = {
  health: { state: 'loading' },
  examples: { state: 'loading' },
  modules: [],
  listing: { state: 'loading' },
  details: {},
  labels: {},
  uploads: [],
  drafts: {},
  runs: [],
  chosen: null,
  settings: false,
  said: '',
};

export function reduce(state: State, event: Event): State {
  switch (event.type) {
    case 'health':
      return { ...state, health: event.health };
    case 'examples':
      return { ...state, examples: event.examples };
    case 'listing':
      return { ...state, listing: event.listing };
    case 'listed': {
      const before = event.fresh ? [] : state.modules;
      const listing: State['listing'] = { state: 'ready', value: { next: event.next } };
      return { ...state, listing, modules: merge(before, event.modules) };
    }
    case 'detail':
      return { ...state, details: { ...state.details, [event.ref]: event.detail } };
    case 'added': {
      const { module, label } = event;
      const ref = refOf(module);
      const others = state.modules.filter((one) => refOf(one) !== ref);
      return {
        ...state,
        modules: [module, ...others],
        details: { ...state.details, [ref]: { state: 'ready', value: module } },
        labels: label === null ? state.labels : { ...state.labels, [module.id]: label },
      };
    }
    case 'deleted': {
      const { [event.ref]: _, ...details } = state.details;
      return { ...state, details, modules: state.modules.filter((one) => refOf(one) !== event.ref) };
    }
    case 'upload': {
      const others = state.uploads.filter(({ id }) => id !== event.upload.id);
      return { ...state, uploads: [...others, event.upload] };
    }
    case 'upload-over':
      return { ...state, uploads: state.uploads.filter(({ id }) => id !== event.id) };
    case 'draft':
      return { ...state, drafts: { ...state.drafts, [event.key]: event.draft } };
    case 'run':
      return { ...state, runs: [event.run, ...state.runs].slice(0, RUNS_MAX), chosen: event.run.id };
    case 'run-over': {
      const over = (run: Run): Run => ({ ...run, result: event.result, endedAt: event.endedAt });
      return { ...state, runs: state.runs.map((run) => (run.id === event.id ? over(run) : run)) };
    }
    case 'choose':
      return { ...state, chosen: event.id };
    case 'settings':
      return { ...state, settings: event.open };
    case 'say':
      return { ...state, said: event.text };
  }
}

/** How the API is asked for a module: a named version by its name, the others by the digest of their bytes. */
export function refOf({ id, name, version }: ModuleSummary): string {
  if (name === null) return id;
  return version === null ? name : `${name}@${version}`;
}

export function labelOf(state: State, module: ModuleSummary): string {
  return labelOfRef(state, refOf(module));
}

export function labelOfRef({ labels }: State, ref: string): string {
  return labels[ref] ?? shortId(ref);
}

export function draftKey(ref: string, fn: string): string {
  return `${ref}\n${fn}`;
}

export function runInView(state: State, ref: string, fn: string): Run | null {
  const ours = state.runs.filter((run) => run.ref === ref && run.target.name === fn);
  return ours.find(({ id }) => id === state.chosen) ?? ours[0] ?? null;
}

function merge(before: ModuleSummary[], more: ModuleSummary[]): ModuleSummary[] {
  const known = new Set(before.map(refOf));
  return [...before, ...more.filter((one) => !known.has(refOf(one)))];
}

export interface Store {
  get(): State;
  send(event: Event): void;
  subscribe(changed: () => void): () => void;
}

export function createStore(from: State): Store {
  let state = from;
  const listeners = new Set<() => void>();
  return {
    get: () => state,
    send(event) {
      state = reduce(state, event);
      for (const listener of listeners) listener();
    },
    subscribe(changed) {
      listeners.add(changed);
      return () => listeners.delete(changed);
    },
  };
}
