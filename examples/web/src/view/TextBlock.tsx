// A block of text that may be long: shown up to a bound, and copied whole.
import { useState } from 'react';
import { bytes } from '../format/units';

// More than this makes the page slow to lay out.
const SHOWN_MAX = 20_000;

// A number or a word: set large, for it is what the visitor came for.
const LARGE_MAX = 24;

// Browsers give a page that came by plain http from elsewhere no clipboard: then there is no button.
export function TextBlock({ title, text, large = false }: { title: string; text: string; large?: boolean }) {
  const [all, setAll] = useState(false);
  const [copied, setCopied] = useState(false);
  const shown = all ? text : text.slice(0, SHOWN_MAX);
  const copy = async () => {
    await navigator.clipboard.writeText(text);
    setCopied(true);
    setTimeout(() => setCopied(false), 1500);
  };
  return (
    <section className="block" aria-label={title}>
      <div className="block-head">
        <h3>{title}</h3>
        {navigator.clipboard !== undefined && (
          <button type="button" className="small plain" onClick={() => void copy()}>
            {copied ? 'Copied' : 'Copy'}
            <span className="hidden"> {title}</span>
          </button>
        )}
      </div>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, so the keyboard must reach it */}
      <pre tabIndex={0} className={large && text.length <= LARGE_MAX ? 'large' : undefined}>
        {shown}
      </pre>
      {shown.length < text.length && (
        <button type="button" className="small" onClick={() => setAll(true)}>
          Show all {bytes(text.length)}
        </button>
      )}
    </section>
  );
}
