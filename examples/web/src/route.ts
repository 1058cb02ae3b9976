// Where the visitor is, kept in the address after `#`: it survives a reload, the back button works, and a page on
// plain static hosting needs no routes of its own. `#/modules/REF/EXPORT`, each part percent-encoded.
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

export function go(href: string): void {
  location.hash = href;
}

export function useRoute(): Route {
  return parseRoute(useSyncExternalStore(onHashChange, () => location.hash));
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
