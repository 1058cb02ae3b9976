// What a visitor does with the server's files: look at directories, send files and fetch them, make and remove. A part of
// the session, over its client and store.
import type { Client } from '../api/client';
import { aboutFile, type Problem, unreadable } from '../api/problem';
import type { FileEntry } from '../api/types';
import { plural } from '../format/units';
import { nextId } from './draft';
import { type FileWork, type Folder, pathIn, replaces } from './files';
import type { Around } from './granting';
import type { Store } from './store';

// Files on their way at a time: each holds a connection, of which a browser has six for a server.
const FILES_AT_ONCE = 2;

export class Browsing {
  /** Files that wait for an answer, by the id of their work. */
  private readonly waiting = new Map<number, File>();

  constructor(
    private readonly client: Client,
    private readonly store: Store,
    private readonly around: Around,
  ) {}

  /** Lists a directory; what is known of it stays in view meanwhile. */
  async open(path: string): Promise<void> {
    const { folder } = this.store.get();
    const known = folder?.path === path ? folder.entries : [];
    await this.list({ path, entries: known, listing: { state: 'loading' } }, [], null);
  }

  /** Adds the next page. */
  async more(): Promise<void> {
    const { folder } = this.store.get();
    if (folder?.listing.state !== 'ready' || folder.listing.value.next === null) return;
    const { next } = folder.listing.value;
    await this.list({ ...folder, listing: { state: 'loading' } }, folder.entries, next);
  }

  /** Reads pages on, until there is as much as was in view. */
  private async list(folder: Folder, before: FileEntry[], after: string | null): Promise<void> {
    const { path } = folder;
    // Whoever has gone on meanwhile is not shown what they left.
    const show = (shown: Folder) => {
      if (this.store.get().folder?.path === path) this.store.send({ type: 'folder', folder: shown });
    };
    this.store.send({ type: 'folder', folder });
    try {
      let entries = before;
      let next = after;
      do {
        const page = await this.client.folder(path, next);
        entries = [...entries, ...page.entries];
        next = page.next;
      } while (next !== null && entries.length < folder.entries.length);
      show({ path, entries, listing: { state: 'ready', value: { next } } });
    } catch (error) {
      show({ ...folder, listing: { state: 'failed', problem: this.problemOf(error) } });
    }
  }

  /** Sends files into a directory. One whose name is taken waits until somebody says that it may replace the other. */
  async upload(path: string, files: File[]): Promise<void> {
    const { folder } = this.store.get();
    const [taken, free] = [true, false].map((is) =>
      files.filter(({ name }) => replaces(folder, path, name) === is),
    );
    for (const file of taken ?? []) {
      const id = nextId();
      this.waiting.set(id, file);
      this.work({ id, folder: path, name: file.name, state: 'asking', problem: null });
    }
    await this.sendAll(
      path,
      (free ?? []).map((file) => ({ id: nextId(), file })),
    );
  }

  /** Somebody says that it may replace the other. */
  async replace({ id, folder }: FileWork): Promise<void> {
    const file = this.waiting.get(id);
    if (file !== undefined) await this.sendAll(folder, [{ id, file }]);
  }

  dismiss(id: number): void {
    this.waiting.delete(id);
    this.store.send({ type: 'file-work-over', id });
  }

  private async sendAll(path: string, files: { id: number; file: File }[]): Promise<void> {
    if (files.length === 0) return;
    const queue = [...files];
    let sent = 0;
    const sender = async () => {
      for (let next = queue.shift(); next; next = queue.shift()) {
        if (await this.send(path, next.id, next.file)) sent += 1;
      }
    };
    await Promise.all(Array.from({ length: FILES_AT_ONCE }, sender));
    const failed = files.length - sent;
    this.around.say(`${plural(sent, 'file')} uploaded${failed === 0 ? '' : `, ${failed} refused`}`);
    await this.again(path);
  }

  private async send(path: string, id: number, file: File): Promise<boolean> {
    const work = { id, folder: path, name: file.name };
    this.work({ ...work, state: 'sending', problem: null });
    try {
      // A folder that was dropped comes as a file that cannot be read.
      await file
        .slice(0, 1)
        .arrayBuffer()
        .catch((error: unknown) => Promise.reject(unreadable(error)));
      await this.client.putFile(pathIn(path, file.name), file);
      this.dismiss(id);
      return true;
    } catch (error) {
      this.waiting.delete(id);
      this.work({ ...work, state: 'failed', problem: this.problemOf(error) });
      return false;
    }
  }

  /** The bytes of a file; null where they did not come, which is told in the view. */
  async download(path: string, { name }: FileEntry): Promise<Blob | null> {
    const work = { id: nextId(), folder: path, name };
    this.work({ ...work, state: 'fetching', problem: null });
    try {
      const bytes = await this.client.file(pathIn(path, name));
      this.dismiss(work.id);
      this.around.say(`${name} downloaded`);
      return bytes;
    } catch (error) {
      this.work({ ...work, state: 'failed', problem: this.problemOf(error) });
      return null;
    }
  }

  async makeFolder(path: string, name: string): Promise<Problem | null> {
    try {
      await this.client.makeFolder(pathIn(path, name));
      this.around.say(`Folder ${name} made`);
      await this.again(path);
      return null;
    } catch (error) {
      return this.problemOf(error);
    }
  }

  async remove(path: string, { name }: FileEntry): Promise<void> {
    try {
      await this.client.removeFile(pathIn(path, name));
      this.around.say(`${name} deleted`);
    } catch (error) {
      const problem = this.problemOf(error);
      this.work({ id: nextId(), folder: path, name, state: 'failed', problem });
    }
    await this.again(path);
  }

  /** Lists a directory anew, where it is still the one in view. */
  private async again(path: string): Promise<void> {
    if (this.store.get().folder?.path === path) await this.open(path);
  }

  private problemOf(error: unknown): Problem {
    return aboutFile(this.around.problemOf(error));
  }

  private work(work: FileWork): void {
    this.store.send({ type: 'file-work', work });
  }
}
