// Which server this page speaks to, and how it looks. The address comes from `?server=`, else from what was saved,
// else from the build, else it is the page's own origin. The token stays in this tab's session storage, under the
// address it was entered for: a link with another `?server=` is not sent the token of this one.
import type { Server } from '../api/client';

export type Theme = 'system' | 'light' | 'dark';

const ADDRESS_KEY = 'runner.server';
const THEME_KEY = 'runner.theme';
const tokenKey = (address: string) => `runner.token:${address}`;

/** An origin, with or without a path below it; null when it is no http address. */
export function parseAddress(text: string): string | null {
  const trimmed = text.trim();
  if (trimmed === '') return null;
  try {
    const url = new URL(/^[a-z]+:\/\//i.test(trimmed) ? trimmed : `http://${trimmed}`);
    if (url.protocol !== 'http:' && url.protocol !== 'https:') return null;
    // Browsers turn a space in a host into `%20`, and look that up.
    if (url.host === '' || url.host.includes('%')) return null;
    return url.origin + url.pathname.replace(/\/+$/, '');
  } catch {
    return null;
  }
}

export function defaultAddress(): string {
  return parseAddress(import.meta.env.VITE_RUNNER_SERVER ?? '') ?? location.origin;
}

export function loadServer(): Server {
  const asked = parseAddress(new URLSearchParams(location.search).get('server') ?? '');
  const address = asked ?? parseAddress(localStorage.getItem(ADDRESS_KEY) ?? '') ?? defaultAddress();
  return { address, token: sessionStorage.getItem(tokenKey(address)) ?? '' };
}

export function saveServer({ address, token }: Server): void {
  if (address === defaultAddress()) localStorage.removeItem(ADDRESS_KEY);
  else localStorage.setItem(ADDRESS_KEY, address);
  if (token === '') sessionStorage.removeItem(tokenKey(address));
  else sessionStorage.setItem(tokenKey(address), token);
  // What was chosen here must hold after a reload, so the address line may not say otherwise.
  const url = new URL(location.href);
  url.searchParams.delete('server');
  history.replaceState(null, '', url);
}

export function loadTheme(): Theme {
  const saved = localStorage.getItem(THEME_KEY);
  return saved === 'light' || saved === 'dark' ? saved : 'system';
}

export function saveTheme(theme: Theme): void {
  localStorage.setItem(THEME_KEY, theme);
}

export function applyTheme(theme: Theme): void {
  if (theme === 'system') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
}
