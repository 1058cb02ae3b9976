// Rows that are added and removed one by one: the items of a list, arguments, headers. The focus follows: into the row
// that was added, else to the button that adds.
import { type ReactNode, useRef } from 'react';
import { flushSync } from 'react-dom';

interface Props<R> {
  rows: R[];
  /** One row, as in "Remove header 2". */
  noun: string;
  addText: string;
  className: string;
  /** Absent when there is no place for more. */
  onAdd?: () => void;
  onRemove: (id: number) => void;
  children: (row: R, at: number) => ReactNode;
}

export function Rows<R extends { id: number }>(props: Props<R>) {
  const { rows, noun, addText, className, onAdd, onRemove, children } = props;
  const list = useRef<HTMLOListElement>(null);
  const addButton = useRef<HTMLButtonElement>(null);
  const add = (onAdd: () => void) => {
    flushSync(onAdd);
    list.current?.lastElementChild?.querySelector<HTMLElement>('input, textarea, select, button')?.focus();
  };
  const remove = (id: number) => {
    flushSync(() => onRemove(id));
    addButton.current?.focus();
  };
  return (
    <>
      {rows.length > 0 && (
        <ol className={className} ref={list}>
          {rows.map((row, at) => (
            <li key={row.id}>
              {children(row, at)}
              <button
                type="button"
                className="small icon-only"
                aria-label={`Remove ${noun} ${at + 1}`}
                title="Remove"
                onClick={() => remove(row.id)}
              >
                ×
              </button>
            </li>
          ))}
        </ol>
      )}
      {onAdd && (
        <button type="button" className="small add" ref={addButton} onClick={() => add(onAdd)}>
          {addText}
        </button>
      )}
    </>
  );
}
