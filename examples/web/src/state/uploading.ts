// Bytes on their way to the server: files, examples, and modules that are given a name. A part of the session, over its
// client and store. It remembers where the bytes of a module came from, for the server hands none out.
import type { Client } from '../api/client';
import { ApiError, unreadable } from '../api/problem';
import type { Example, Module } from '../api/types';
import { nextId } from './draft';
import type { Around } from './granting';
import { nameFrom } from './grants';
import { saveLabels } from './labels';
import { refOf, type Store } from './store';

type Bytes = Uint8Array<ArrayBuffer>;

interface Source {
  /** The file's name. */
  label: string;
  read: () => Promise<Bytes>;
}

export class Uploading {
  /** By the module's id. A file is read again when its bytes are needed again, not kept. */
  private readonly sources = new Map<string, Source>();

  constructor(
    private readonly client: Client,
    private readonly store: Store,
    private readonly around: Pick<Around, 'problemOf'>,
    private readonly heard: () => void,
  ) {}

  file(file: File): Promise<Module | null> {
    return this.listed(sourceOf(file), (source) => this.added(source));
  }

  /** An example with a name is stored under it; one that works with grants needs one, for they belong to it. */
  example(example: Example): Promise<Module | null> {
    const { file, name, grants } = example;
    const source = { label: file, read: () => this.client.exampleBytes(file) };
    const under = name ?? (grants === null ? null : nameFrom(file));
    return this.listed(source, (source) =>
      under === null ? this.added(source) : this.named(source, under, undefined),
    );
  }

  /** Whether a module's bytes can be sent once more. */
  canSend({ id }: Module): boolean {
    return this.sources.has(id);
  }

  /** Stores a module's bytes, or those of a file, under a name. A file may have other bytes than the module. */
  async storeUnder(name: string, { id }: Module, file: File | null): Promise<Module> {
    const source = file === null ? this.sources.get(id) : sourceOf(file);
    if (source === undefined) throw new ApiError(gone());
    return this.named(source, name, id);
  }

  /** Does the work, which stands in the list of uploads meanwhile, and after it where it failed. */
  private async listed(source: Source, work: (source: Source) => Promise<Module>): Promise<Module | null> {
    const id = nextId();
    const name = source.label;
    this.store.send({ type: 'upload', upload: { id, name, problem: null } });
    try {
      const module = await work(source);
      this.heard();
      this.store.send({ type: 'upload-over', id });
      return module;
    } catch (error) {
      this.store.send({ type: 'upload', upload: { id, name, problem: this.around.problemOf(error) } });
      return null;
    }
  }

  private async added(source: Source): Promise<Module> {
    const module = await this.send(source, await source.read());
    this.store.send({ type: 'added', module, label: source.label });
    saveLabels(this.store.get().labels);
    return module;
  }

  /** A version for each click would be many of the same: where the newest has these bytes already, it is that one. */
  private async named(source: Source, name: string, from: string | undefined): Promise<Module> {
    const bytes = await source.read();
    const [{ id }, newest] = await Promise.all([this.send(source, bytes), this.client.newest(name)]);
    const module =
      newest?.id === id
        ? await this.client.module(refOf(newest))
        : await this.client.putModule(name, bytes, isText(source.label, bytes));
    this.store.send({ type: 'added', module, label: null, from });
    return module;
  }

  private async send(source: Source, bytes: Bytes): Promise<Module> {
    const module = await this.client.addModule(bytes, isText(source.label, bytes));
    this.sources.set(module.id, source);
    return module;
  }
}

function sourceOf(file: File): Source {
  const read = async () => {
    // A folder that was dropped comes as a file that cannot be read.
    const buffer = await file.arrayBuffer().catch((error: unknown) => Promise.reject(unreadable(error)));
    return new Uint8Array(buffer);
  };
  return { label: file.name, read };
}

/** Bytes that do not begin as a module does, in a file that is named as text. The server judges all the rest. */
function isText(name: string, bytes: Bytes): boolean {
  const magic = bytes[0] === 0 && bytes[1] === 0x61 && bytes[2] === 0x73 && bytes[3] === 0x6d;
  return !magic && /\.(wat|wast|txt)$/i.test(name);
}

function gone() {
  return {
    title: 'This page does not have its bytes',
    detail: 'They were sent in another visit, or by somebody else',
    advice: 'Choose the file again.',
    status: null,
    kind: 'page',
  };
}
