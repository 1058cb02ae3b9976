// Rows of a name and a value that can be added and removed: environment variables, headers.
import type { ReactNode } from 'react';
import { nextId, type Pair } from '../state/draft';

interface Props {
  legend: string;
  /** What one row is, as in "Add variable". */
  noun: string;
  pairs: Pair[];
  faultOf?: (pair: Pair) => string | null;
  onChange: (pairs: Pair[]) => void;
}

export function Pairs({ legend, noun, pairs, faultOf, onChange }: Props) {
  const edit = (changed: Pair) => onChange(pairs.map((pair) => (pair.id === changed.id ? changed : pair)));
  const cell = (pair: Pair, at: number, part: 'key' | 'value', fault: string | null): ReactNode => (
    <input
      type="text"
      className="mono"
      aria-label={`${noun} ${at + 1}, ${part === 'key' ? 'name' : 'value'}`}
      placeholder={part === 'key' ? 'name' : 'value'}
      value={pair[part]}
      spellCheck={false}
      autoComplete="off"
      aria-invalid={part === 'key' && fault !== null}
      onChange={(event) => edit({ ...pair, [part]: event.target.value })}
    />
  );
  return (
    <fieldset className="field">
      <legend>{legend}</legend>
      {pairs.map((pair, at) => {
        const fault = faultOf?.(pair) ?? null;
        return (
          <div className="pair" key={pair.id}>
            {cell(pair, at, 'key', fault)}
            {cell(pair, at, 'value', fault)}
            <button
              type="button"
              className="small icon-only"
              aria-label={`Remove ${noun} ${at + 1}`}
              onClick={() => onChange(pairs.filter(({ id }) => id !== pair.id))}
            >
              ×
            </button>
            {fault !== null && <p className="fault">{fault}</p>}
          </div>
        );
      })}
      <button
        type="button"
        className="small add"
        onClick={() => onChange([...pairs, { id: nextId(), key: '', value: '' }])}
      >
        Add {noun}
      </button>
    </fieldset>
  );
}
