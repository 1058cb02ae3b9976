// The page's one truth: what the server has told, what was typed, what was run. `reduce` is pure; views read it
// and never keep a copy. Which module and function are in view is not here but in the address (see route.ts).
import type { Problem } from '../api/problem';
import type { Example, Granted, Health, Lending, Module, ModuleSummary } from '../api/types';
import { shortId } from '../format/units';
import type { CallDraft } from './draft';
import type { FileWork, Folder } from './files';
import type { GrantDraft } from './grants';
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
  /** By ref, as `details`; of modules that have a name. */
  granted: Record<string, Loaded<Granted>>;
  grantDrafts: Record<string, GrantDraft>;
  /** What the server can lend; null until somebody looks. */
  lending: Loaded<Lending> | null;
  /** The directory of the server's files in view; null until one is. */
  folder: Folder | null;
  fileWorks: FileWork[];
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
  | { type: 'added'; module: Module; label: string | null; from?: string }
  | { type: 'deleted'; ref: string }
  | { type: 'upload'; upload: Upload }
  | { type: 'upload-over'; id: number }
  | { type: 'draft'; key: string; draft: CallDraft }
  | { type: 'granted'; ref: string; granted: Loaded<Granted> }
  | { type: 'regranted'; module: Module; granted: Granted; keepDraft: boolean }
  | { type: 'grant-draft'; ref: string; draft: GrantDraft | null }
  | { type: 'lending'; lending: Loaded<Lending> }
  | { type: 'folder'; folder: Folder }
  | { type: 'file-work'; work: FileWork }
  | { type: 'file-work-over'; id: number }
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
  granted: {},
  grantDrafts: {},
  lending: null,
  folder: null,
  fileWorks: [],
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
      const { module, label, from } = event;
      const ref = refOf(module);
      // The server does not list bytes by themselves that have a name.
      const others = state.modules.filter((one) => refOf(one) !== ref && refOf(one) !== module.id);
      return {
        ...state,
        drafts: from === undefined ? state.drafts : movedDrafts(state.drafts, from, ref),
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
    case 'granted':
      return { ...state, granted: { ...state.granted, [event.ref]: event.granted } };
    case 'regranted':
      return regranted(state, event);
    case 'grant-draft': {
      const { [event.ref]: _, ...others } = state.grantDrafts;
      return {
        ...state,
        grantDrafts: event.draft === null ? others : { ...others, [event.ref]: event.draft },
      };
    }
    case 'lending':
      return { ...state, lending: event.lending };
    case 'folder':
      return { ...state, folder: event.folder };
    case 'file-work': {
      const others = state.fileWorks.filter(({ id }) => id !== event.work.id);
      return { ...state, fileWorks: [...others, event.work] };
    }
    case 'file-work-over':
      return { ...state, fileWorks: state.fileWorks.filter(({ id }) => id !== event.id) };
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

/** Grants belong to a name and bytes: what is known of others of that name and these bytes changes with them. */
function regranted(
  state: State,
  { module, granted, keepDraft }: Extract<Event, { type: 'regranted' }>,
): State {
  const ref = refOf(module);
  const { [ref]: _, ...otherDrafts } = state.grantDrafts;
  const details = Object.entries(state.details).map(([key, detail]) => {
    const same =
      detail.state === 'ready' && detail.value.name === module.name && detail.value.id === module.id;
    const known: Loaded<Module> = same
      ? { state: 'ready', value: { ...detail.value, imports: module.imports } }
      : detail;
    return [key, known] as const;
  });
  // Other versions are told what was granted before them: asked anew when they are looked at.
  const others = Object.entries(state.granted).filter(
    ([, one]) => one.state !== 'ready' || one.value.name !== module.name,
  );
  return {
    ...state,
    details: Object.fromEntries(details),
    granted: { ...Object.fromEntries(others), [ref]: { state: 'ready', value: granted } },
    grantDrafts: keepDraft ? state.grantDrafts : otherDrafts,
  };
}

/** What was typed for the calls of a module, under the name that it was given. */
function movedDrafts(drafts: State['drafts'], from: string, to: string): State['drafts'] {
  const own = Object.entries(drafts).filter(([key]) => key.startsWith(`${from}\n`));
  return {
    ...drafts,
    ...Object.fromEntries(own.map(([key, draft]) => [to + key.slice(from.length), draft])),
  };
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
