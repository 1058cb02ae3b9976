// The top of every view: the name, which server answers, how the page looks.
import { useState } from 'react';
import { hrefOf } from '../route';
import { useStore } from '../state/session';
import { applyTheme, loadTheme, saveTheme, type Theme } from '../state/settings';

const NEXT: Record<Theme, Theme> = { system: 'light', light: 'dark', dark: 'system' };
const SIGN: Record<Theme, string> = { system: '◐', light: '☀', dark: '☾' };

export function Header({ address, onServer }: { address: string; onServer: () => void }) {
  return (
    <header className="top">
      <a className="brand" href={hrefOf(null)}>
        <img src="./favicon.svg" alt="" width="26" height="26" />
        Runner
      </a>
      <ServerButton address={address} onClick={onServer} />
      <ThemeButton />
    </header>
  );
}

function ServerButton({ address, onClick }: { address: string; onClick: () => void }) {
  const health = useStore((state) => state.health);
  const word = {
    loading: 'asking…',
    ready: health.state === 'ready' ? `v${health.value.version}` : '',
    failed: 'not reached',
  }[health.state];
  return (
    <button type="button" className="server" onClick={onClick} aria-haspopup="dialog">
      <span className={`dot ${health.state}`} aria-hidden="true" />
      <span className="server-word">Server</span>
      <span className="server-address">{address.replace(/^https?:\/\//, '')}</span>
      <span className="quiet">{word}</span>
    </button>
  );
}

function ThemeButton() {
  const [theme, setTheme] = useState(loadTheme);
  const change = () => {
    const next = NEXT[theme];
    setTheme(next);
    saveTheme(next);
    applyTheme(next);
  };
  return (
    <button
      type="button"
      className="icon-only"
      onClick={change}
      aria-label={`Colours: ${theme}`}
      title={`Colours: ${theme}`}
    >
      <span aria-hidden="true">{SIGN[theme]}</span>
    </button>
  );
}
