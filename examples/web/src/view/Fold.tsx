// A part of a module's view that folds to one line. Whether it stands open at first is decided once, so that nothing
// folds away under the hand.
import { type ReactNode, useState } from 'react';
import { comeTo } from './comeTo';

interface Props {
  id: string;
  title: string;
  /** What the line says of it. */
  hint: ReactNode;
  open: boolean;
  /** It is dear: drawn once it was opened. */
  late?: boolean;
  children: ReactNode;
}

export function Fold({ id, title, hint, open, late = false, children }: Props) {
  const [isOpen, setOpen] = useState(open);
  const [seen, setSeen] = useState(open || !late);
  return (
    <details
      className="panel fold"
      id={id}
      open={isOpen}
      onToggle={(event) => {
        setOpen(event.currentTarget.open);
        if (event.currentTarget.open) setSeen(true);
      }}
    >
      <summary>
        <h2>{title}</h2>
        {hint}
      </summary>
      {seen && <div className="fold-body">{children}</div>}
    </details>
  );
}

/** Opens a part that may be folded, comes to it, and gives it the focus. */
export function unfold(id: string): void {
  const part = document.getElementById(id);
  if (part === null) return;
  for (let at: Element | null = part; at !== null; at = at.parentElement?.closest('details') ?? null) {
    at.setAttribute('open', '');
  }
  comeTo(part);
  part.querySelector('summary')?.focus({ preventScroll: true });
}
