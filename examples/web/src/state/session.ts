// What a visitor does, as functions over one store and one client: a session lasts as long as the server's address
// and token do. Components get it by `useSession`; nothing else in the page talks to the API.
import { createContext, useContext, useSyncExternalStore } from 'react';
import { Client, type Server } from '../api/client';
import { asProblem, type Problem } from '../api/problem';
import type { Example, Export, Module } from '../api/types';
import { plural } from '../format/units';
import { go, hrefOf } from '../route';
import { Browsing } from './browsing';
import { blankDraft, type CallDraft, callRequestOf, draftFaults, handlerRequestOf, nextId } from './draft';
import { Granting } from './granting';
import { loadLabels } from './labels';
import { type Result, type Run, sentenceOf } from './run';
import { createStore, draftKey, initialState, labelOf, refOf, type State, type Store } from './store';
import { Uploading } from './uploading';

// Uploads at a time: the server compiles as many as it has cores, and others want some of them.
const UPLOADS_AT_ONCE = 2;

export class Session {
  readonly store: Store;
  readonly granting: Granting;
  readonly uploading: Uploading;
  readonly browsing: Browsing;
  private readonly client: Client;
  private readonly running = new Map<number, AbortController>();

  constructor(readonly server: Server) {
    this.client = new Client(server);
    this.store = createStore({ ...initialState, labels: loadLabels() });
    const around = {
      problemOf: (error: unknown) => this.problemOf(error),
      say: (text: string) => this.say(text),
    };
    this.browsing = new Browsing(this.client, this.store, around);
    this.granting = new Granting(this.client, this.store, around);
    this.uploading = new Uploading(this.client, this.store, around, () => this.heard());
  }

  start(): void {
    void this.loadHealth();
    void this.loadExamples();
    void this.loadModules(true);
  }

  end(): void {
    for (const controller of this.running.values()) controller.abort();
  }

  async loadHealth(): Promise<void> {
    this.store.send({ type: 'health', health: { state: 'loading' } });
    try {
      this.store.send({ type: 'health', health: { state: 'ready', value: await this.client.health() } });
    } catch (error) {
      this.store.send({ type: 'health', health: { state: 'failed', problem: asProblem(error) } });
    }
  }

  async loadExamples(): Promise<void> {
    this.store.send({ type: 'examples', examples: { state: 'loading' } });
    try {
      const value = await this.client.examples();
      this.store.send({ type: 'examples', examples: { state: 'ready', value } });
    } catch (error) {
      this.store.send({ type: 'examples', examples: { state: 'failed', problem: this.problemOf(error) } });
    }
  }

  async loadModules(fresh: boolean): Promise<void> {
    const { listing } = this.store.get();
    const after = !fresh && listing.state === 'ready' ? listing.value.next : null;
    this.store.send({ type: 'listing', listing: { state: 'loading' } });
    try {
      const page = await this.client.modules(after);
      this.store.send({ type: 'listed', ...page, fresh });
    } catch (error) {
      this.store.send({ type: 'listing', listing: { state: 'failed', problem: this.problemOf(error) } });
    }
  }

  async open(ref: string): Promise<void> {
    if (this.store.get().details[ref]?.state === 'ready') return;
    this.store.send({ type: 'detail', ref, detail: { state: 'loading' } });
    try {
      const value = await this.client.module(ref);
      this.store.send({ type: 'detail', ref, detail: { state: 'ready', value } });
    } catch (error) {
      this.store.send({ type: 'detail', ref, detail: { state: 'failed', problem: this.problemOf(error) } });
    }
  }

  /** Sends every file; opens the first that arrived. */
  async addFiles(files: File[]): Promise<void> {
    const queue = [...files];
    const added: Module[] = [];
    const sender = async () => {
      for (let file = queue.shift(); file; file = queue.shift()) {
        const module = await this.uploading.file(file);
        if (module) added.push(module);
      }
    };
    await Promise.all(Array.from({ length: UPLOADS_AT_ONCE }, sender));
    if (files.length === 0) return;
    const failed = files.length - added.length;
    const refused = failed === 0 ? '' : `, ${failed} refused`;
    this.say(`${plural(added.length, 'module')} added${refused}`);
    const first = added[0];
    if (first) this.show(first);
  }

  async addExample(example: Example): Promise<void> {
    const module = await this.uploading.example(example);
    if (!module) return;
    await this.suggestGrants(module, example);
    const target = module.exports.find(({ name }) => name === example.function) ?? firstCallable(module);
    if (target && example.args !== null) {
      this.edit(refOf(module), target, blankDraft(target, example.args));
    }
    this.say(`${example.title} added`);
    go(hrefOf(refOf(module), target?.name ?? null));
  }

  /** What an example works with is put before the visitor, and not granted: unless somebody did so before. */
  private async suggestGrants(module: Module, { grants }: Example): Promise<void> {
    if (grants === null || Object.keys(grants).length === 0 || module.name === null) return;
    await this.granting.open(module);
    const granted = this.store.get().granted[refOf(module)];
    const isFree = granted?.state === 'ready' && Object.keys(granted.value.grants).length === 0;
    if (isFree) this.granting.suggest(module, grants);
  }

  /** Stores a module under a name, and opens it there. A problem is told to who asked. */
  async storeUnder(
    name: string,
    module: Module,
    file: File | null,
    fn: string | null,
  ): Promise<Problem | null> {
    try {
      const stored = await this.uploading.storeUnder(name, module, file);
      const same = stored.id === module.id ? '' : ', with other bytes than those that were in view';
      this.say(`Stored as ${refOf(stored)}${same}`);
      go(hrefOf(refOf(stored), fn));
      return null;
    } catch (error) {
      return this.problemOf(error);
    }
  }

  dismissUploads(ids: number[]): void {
    for (const id of ids) this.store.send({ type: 'upload-over', id });
  }

  async delete(module: Module): Promise<void> {
    const ref = refOf(module);
    const label = labelOf(this.store.get(), module);
    try {
      await this.client.deleteModule(ref);
      this.store.send({ type: 'deleted', ref });
      this.say(`${label} deleted`);
      go(hrefOf(null));
    } catch (error) {
      this.store.send({
        type: 'upload',
        upload: { id: nextId(), name: label, problem: this.problemOf(error) },
      });
    }
  }

  edit(ref: string, target: Export, draft: CallDraft): void {
    this.store.send({ type: 'draft', key: draftKey(ref, target.name), draft });
  }

  /** Starts a run; false when something typed must be corrected first. */
  run(module: Module, target: Export, draft: CallDraft): boolean {
    const ref = refOf(module);
    const faults = draftFaults(target, draft);
    if (faults.length > 0) {
      this.edit(ref, target, { ...draft, attempted: true });
      this.say(
        `Not run: ${plural(faults.length, 'field needs', 'fields need')} attention. ${faults[0]?.message}`,
      );
      return false;
    }
    const label = labelOf(this.store.get(), module);
    this.begin({ ref, label, target, draft });
    return true;
  }

  runAgain({ ref, label, target, draft }: Run): void {
    this.begin({ ref, label, target, draft });
  }

  stop(run: Run): void {
    this.running.get(run.id)?.abort();
  }

  putBack(run: Run): void {
    this.edit(run.ref, run.target, { ...run.draft, attempted: false });
    this.say(`Arguments of ${run.target.name} put back`);
  }

  choose(run: Run): void {
    this.store.send({ type: 'choose', id: run.id });
    go(hrefOf(run.ref, run.target.name));
  }

  settings(open: boolean): void {
    this.store.send({ type: 'settings', open });
  }

  say(text: string): void {
    this.store.send({ type: 'say', text });
  }

  /** The problem of a call; the header says it too, when the server is gone. */
  private problemOf(error: unknown): Problem {
    const problem = asProblem(error);
    if (problem.kind === 'unreachable')
      this.store.send({ type: 'health', health: { state: 'failed', problem } });
    return problem;
  }

  /** The server has answered: if it was gone before, it is back. */
  private heard(): void {
    if (this.store.get().health.state === 'failed') void this.loadHealth();
  }

  private show(module: Module): void {
    go(hrefOf(refOf(module), firstCallable(module)?.name ?? null));
  }

  private begin(what: Pick<Run, 'ref' | 'label' | 'target' | 'draft'>): void {
    const run: Run = {
      ...what,
      id: nextId(),
      startedAt: Date.now(),
      endedAt: null,
      result: { state: 'running' },
    };
    const controller = new AbortController();
    this.running.set(run.id, controller);
    this.store.send({ type: 'run', run });
    this.say(sentenceOf(run));
    void this.resultOf(run, controller.signal).then((result) => {
      this.running.delete(run.id);
      const endedAt = Date.now();
      this.store.send({ type: 'run-over', id: run.id, result, endedAt });
      if (result.state === 'outcome' || result.state === 'response') this.heard();
      this.say(sentenceOf({ ...run, result, endedAt }));
    });
  }

  private async refresh(ref: string): Promise<void> {
    const detail = this.store.get().details[ref];
    if (detail?.state === 'ready') await this.granting.refresh(detail.value);
  }

  private async resultOf({ ref, target, draft }: Run, signal: AbortSignal): Promise<Result> {
    try {
      if (target.kind === 'http') {
        return {
          state: 'response',
          response: await this.client.handle(ref, handlerRequestOf(draft), signal),
        };
      }
      return { state: 'outcome', outcome: await this.client.call(ref, callRequestOf(target, draft), signal) };
    } catch (error) {
      if (signal.aborted) return { state: 'stopped' };
      const problem = this.problemOf(error);
      if (problem.kind === 'denied') void this.refresh(ref);
      // A handler that ended without an answer: what it did says more than the status that its callers get.
      if (target.kind === 'http' && problem.outcome) return { state: 'outcome', outcome: problem.outcome };
      return { state: 'problem', problem };
    }
  }
}

export function firstCallable(module: Module): Export | undefined {
  return module.exports.find(({ kind }) => kind !== 'unsupported');
}

export const SessionContext = createContext<Session | null>(null);

export function useSession(): Session {
  const session = useContext(SessionContext);
  if (session === null) throw new Error('the page is shown outside of a session');
  return session;
}

/** `select` must pick or derive something that stays equal while the state does: not build a new object. */
export function useStore<T>(select: (state: State) => T): T {
  const { store } = useSession();
  return useSyncExternalStore(store.subscribe, () => select(store.get()));
}
