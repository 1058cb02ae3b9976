// What a visitor does about grants: look at them, write them, grant them, take them back. A part of the session, over
// its client and store.
import type { Client } from '../api/client';
import { asProblem, type Problem } from '../api/problem';
import type { Module } from '../api/types';
import type { JsonObject } from '../json/json';
import { exampleOf, type GrantDraft, grantText, printGrants, readGrants, withGrant } from './grants';
import { labelOf, refOf, type Store } from './store';

/** What the session lends to this part: how a failure is told, and how the page says something. */
export interface Around {
  problemOf: (error: unknown) => Problem;
  say: (text: string) => void;
}

export class Granting {
  constructor(
    private readonly client: Client,
    private readonly store: Store,
    private readonly around: Around,
  ) {}

  /** What a module of a name was granted, and what there is to grant. */
  async open(module: Module): Promise<void> {
    const ref = refOf(module);
    void this.openLending();
    const known = this.store.get().granted[ref];
    if (module.name === null || (known !== undefined && known.state !== 'failed')) return;
    this.store.send({ type: 'granted', ref, granted: { state: 'loading' } });
    try {
      const value = await this.client.granted(ref);
      this.store.send({ type: 'granted', ref, granted: { state: 'ready', value } });
    } catch (error) {
      const problem = this.around.problemOf(error);
      this.store.send({ type: 'granted', ref, granted: { state: 'failed', problem } });
    }
  }

  private async openLending(): Promise<void> {
    const { lending } = this.store.get();
    if (lending !== null && lending.state !== 'failed') return;
    this.store.send({ type: 'lending', lending: { state: 'loading' } });
    try {
      this.store.send({ type: 'lending', lending: { state: 'ready', value: await this.client.lending() } });
    } catch (error) {
      this.store.send({ type: 'lending', lending: { state: 'failed', problem: asProblem(error) } });
    }
  }

  edit(module: Module, text: string): void {
    this.draft(module, { text, origin: 'typed', problem: null });
  }

  /** Puts the grants into the editor that an example works with. */
  suggest(module: Module, grants: JsonObject): void {
    this.draft(module, { text: printGrants(grants), origin: 'example', problem: null });
  }

  discard(module: Module): void {
    this.store.send({ type: 'grant-draft', ref: refOf(module), draft: null });
  }

  /** Puts a capability's example into the editor; what stands there of it already stays. */
  offer(module: Module, id: string): void {
    const { granted, grantDrafts, lending } = this.store.get();
    const ref = refOf(module);
    const known = granted[ref];
    if (known?.state !== 'ready') return;
    const lendable = lending?.state === 'ready' ? lending.value : null;
    const before = grantText(grantDrafts[ref], known.value);
    const put = withGrant(before, id, exampleOf(lendable, id, module.name));
    if ('fault' in put) {
      this.around.say(`${put.fault} Correct it first.`);
    } else if (put.text === before) {
      this.around.say(`A grant for ${id} is in the editor already`);
    } else {
      this.edit(module, put.text);
      this.around.say(`A grant for ${id} is in the editor now. Nothing is granted until you do.`);
    }
  }

  /** Grants what stands in the editor; false when that could not be done. */
  async save(module: Module, text: string): Promise<boolean> {
    const read = readGrants(text);
    if ('fault' in read) {
      this.around.say(`Not granted. ${read.fault}`);
      return false;
    }
    const ref = refOf(module);
    try {
      await this.client.grant(ref, read.grants);
    } catch (error) {
      const problem = this.around.problemOf(error);
      this.draft(module, { text, origin: 'typed', problem });
      this.around.say(`Not granted. ${problem.detail}`);
      return false;
    }
    // It is granted: that the page cannot ask for what holds now is another matter.
    const done = `Granted to ${labelOf(this.store.get(), module)}`;
    await this.told(module, false, done).catch((error: unknown) => this.around.problemOf(error));
    return true;
  }

  /** Grants to these bytes what others had; what is in the editor stays there. */
  async confirm(module: Module, grants: JsonObject): Promise<Problem | null> {
    return this.attempt(module, true, `Granted to ${labelOf(this.store.get(), module)}`, () =>
      this.client.grant(refOf(module), grants),
    );
  }

  async takeBack(module: Module): Promise<Problem | null> {
    return this.attempt(
      module,
      false,
      `${labelOf(this.store.get(), module)} is granted nothing any more`,
      () => this.client.takeBack(refOf(module)),
    );
  }

  /** A call was refused: what this page knows of the module's grants is not true any more, or never was looked at. */
  async refresh(module: Module): Promise<void> {
    if (module.name === null) return;
    await this.told(module, true, null).catch((error: unknown) => this.around.problemOf(error));
  }

  private async attempt(
    module: Module,
    keepDraft: boolean,
    done: string,
    work: () => Promise<unknown>,
  ): Promise<Problem | null> {
    try {
      await work();
      await this.told(module, keepDraft, done);
      return null;
    } catch (error) {
      return this.around.problemOf(error);
    }
  }

  /** Asks the server what holds now: how each import is served follows from the grants. */
  private async told(module: Module, keepDraft: boolean, done: string | null): Promise<void> {
    const ref = refOf(module);
    const [now, granted] = await Promise.all([this.client.module(ref), this.client.granted(ref)]);
    this.store.send({ type: 'regranted', module: now, granted, keepDraft });
    if (done !== null) this.around.say(done);
  }

  private draft(module: Module, draft: GrantDraft): void {
    this.store.send({ type: 'grant-draft', ref: refOf(module), draft });
  }
}
