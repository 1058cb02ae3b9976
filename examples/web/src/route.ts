// Where the visitor is, kept in the address after `#`: it survives a reload, the back button works, and a page on
// plain static hosting needs no routes of its own. `#/modules/REF/EXPORT`, `#/files/FOLDER?NAME`, each part percent-encoded.
import { useSyncExternalStore } from 'react';

export interface Route {
  ref: string | null;
  fn: string | null;
}

export function parseRoute(hash: string): Route {
  const [page, ref, fn] = hash.replace(/^#\/?/, '').split('/').map(decode);
  if (page !== 'modules' || !ref) return { ref: null, fn: null };
  // An export may be named by no letter at all.
  return { ref, fn: fn ?? null };
}

export function hrefOf(ref: string | null, fn: string | null = null): string {
  if (ref === null) return '#/';
  const parts = fn === null ? [ref] : [ref, fn];
  return `#/modules/${parts.map(encodeURIComponent).join('/')}`;
}

/** A directory of the server's files; what is looked for in it, where anything is. */
export interface FolderRoute {
  /** Names from the root on, which is empty, with `/` between. */
  path: string;
  name: string | null;
}

/** Null where another view is meant. */
export function parseFolder(hash: string): FolderRoute | null {
  const [whole = '', name] = hash.replace(/^#\/?/, '').split('?');
  const [page, ...names] = whole.split('/');
  if (page !== 'files') return null;
  const path = names.filter((name) => name !== '').map(decode);
  return { path: path.join('/'), name: name ? decode(name) : null };
}

export function folderHref(path: string, name: string | null = null): string {
  const names = path === '' ? '' : `/${path.split('/').map(encodeURIComponent).join('/')}`;
  return `#/files${names}${name === null ? '' : `?${encodeURIComponent(name)}`}`;
}

export function go(href: string): void {
  location.hash = href;
}

export function useRoute(): Route {
  return parseRoute(useHash());
}

export function useFolder(): FolderRoute | null {
  return parseFolder(useHash());
}

function useHash(): string {
  return useSyncExternalStore(onHashChange, () => location.hash);
}

function onHashChange(changed: () => void): () => void {
  addEventListener('hashchange', changed);
  return () => removeEventListener('hashchange', changed);
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
