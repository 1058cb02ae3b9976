// A button for what cannot be undone: it asks once more in its own place, and the focus stays there.
import { useRef, useState } from 'react';
import { flushSync } from 'react-dom';

interface Props {
  text: string;
  /** What it is about, for those who hear the button alone. */
  about: string;
  sure: string;
  className?: string;
  onSure: () => void;
}

export function AskTwice({ text, about, sure, className = 'plain', onSure }: Props) {
  const [asked, setAsked] = useState(false);
  const button = useRef<HTMLButtonElement>(null);
  const ask = (asked: boolean) => {
    // The button that was pressed goes away: the focus moves to the one in its place.
    flushSync(() => setAsked(asked));
    button.current?.focus();
  };
  if (!asked) {
    return (
      <button type="button" className={`small ${className}`} ref={button} onClick={() => ask(true)}>
        {text}
        <span className="hidden"> {about}</span>
      </button>
    );
  }
  return (
    <span className="confirm">
      <button type="button" className="small danger" ref={button} onClick={onSure}>
        {sure}
      </button>
      <button type="button" className="small" onClick={() => ask(false)}>
        Keep
      </button>
    </span>
  );
}
