// The server's files, and what a call changed in them: paths, names, the directory in view, what is under way. Pure.
import type { Problem } from '../api/problem';
import type { FileChanges, FileEntry } from '../api/types';
import { isObject, type JsonObject } from '../json/json';
import type { Loaded } from './store';

/** The directory in view. */
export interface Folder {
  path: string;
  /** They stay in view while the next page loads. */
  entries: FileEntry[];
  listing: Loaded<{ next: string | null }>;
}

/** Something under way with a file; one that failed, or would replace another, waits for an answer. */
export interface FileWork {
  id: number;
  folder: string;
  name: string;
  state: 'sending' | 'fetching' | 'asking' | 'failed';
  problem: Problem | null;
}

export function namesOf(path: string): string[] {
  return path.split('/').filter((name) => name !== '' && name !== '.');
}

export function pathIn(folder: string, name: string): string {
  return folder === '' ? name : `${folder}/${name}`;
}

/** The directory that a path lies in, and its name there. */
export function apart(path: string): { folder: string; name: string } {
  const at = path.lastIndexOf('/');
  return { folder: path.slice(0, Math.max(at, 0)), name: path.slice(at + 1) };
}

/** The directories on the way to one, from the first below the root on. */
export function crumbsOf(path: string): { name: string; path: string }[] {
  const names = namesOf(path);
  return names.map((name, at) => ({ name, path: names.slice(0, at + 1).join('/') }));
}

const NAME_BYTES_MAX = 255;

/** As the server's file names are written; null where it is one, and free. */
export function fileNameFault(name: string, entries: FileEntry[]): string | null {
  if (name === '') return 'A name is needed.';
  if (name === '.' || name === '..') return `\`${name}\` is no name.`;
  if (/[/\0]/.test(name)) return 'A name has no `/`.';
  if (new TextEncoder().encode(name).length > NAME_BYTES_MAX) return `At most ${NAME_BYTES_MAX} bytes.`;
  return entries.some((entry) => entry.name === name) ? 'Something has this name already.' : null;
}

/** Whether a file of that name would take the place of another. */
export function replaces(folder: Folder | null, path: string, name: string): boolean {
  if (folder === null || folder.path !== path) return false;
  return folder.entries.some((entry) => entry.name === name && entry.kind !== 'directory');
}

/**
 * Where a path of a module's is among the server's files, by what it is granted: the longest mount wins. Null where it is
 * granted no such place any more.
 */
export function placeOf(grants: JsonObject, path: string): string | null {
  const names = namesOf(path);
  const mounts = isObject(grants.fs) && isObject(grants.fs.mounts) ? Object.entries(grants.fs.mounts) : [];
  const above = mounts
    .flatMap(([at, mount]) => (isObject(mount) ? [{ at: namesOf(at), mount }] : []))
    .filter(({ at }) => at.length < names.length && at.every((name, level) => name === names[level]))
    .sort((one, other) => other.at.length - one.at.length)[0];
  if (above === undefined) return null;
  const prefix = typeof above.mount.prefix === 'string' ? namesOf(above.mount.prefix) : [];
  return [...prefix, ...names.slice(above.at.length)].join('/');
}

export type ChangeId = 'added' | 'changed' | 'removed';

/** What was changed, in the order that it is told in; without what nothing was. */
export function changesIn(changes: FileChanges): { id: ChangeId; paths: string[] }[] {
  const ids: ChangeId[] = ['added', 'changed', 'removed'];
  return ids.map((id) => ({ id, paths: changes[id] })).filter(({ paths }) => paths.length > 0);
}
