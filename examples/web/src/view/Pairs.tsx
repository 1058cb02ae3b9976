// Rows of a name and a value: environment variables, headers.
import { useId } from 'react';
import type { Fault } from '../form/check';
import { Rows } from '../form/Rows';
import { Prose } from '../format/Prose';
import { nextId, type Pair } from '../state/draft';

interface Props {
  legend: string;
  /** What one row is, as in "Add variable". */
  noun: string;
  pairs: Pair[];
  faultOf: (pair: Pair) => Fault | null;
  onChange: (pairs: Pair[]) => void;
}

export function Pairs({ legend, noun, pairs, faultOf, onChange }: Props) {
  const edit = (changed: Pair) => onChange(pairs.map((pair) => (pair.id === changed.id ? changed : pair)));
  return (
    <fieldset className="field">
      <legend>{legend}</legend>
      <Rows
        rows={pairs}
        noun={noun}
        addText={`Add ${noun}`}
        className="lines pairs"
        onAdd={() => onChange([...pairs, { id: nextId(), key: '', value: '' }])}
        onRemove={(id) => onChange(pairs.filter((pair) => pair.id !== id))}
      >
        {(pair, at) => (
          <PairFields
            pair={pair}
            label={`${noun} ${at + 1}`}
            fault={faultOf(pair)?.message ?? null}
            onChange={edit}
          />
        )}
      </Rows>
    </fieldset>
  );
}

interface PairProps {
  pair: Pair;
  label: string;
  fault: string | null;
  onChange: (pair: Pair) => void;
}

function PairFields({ pair, label, fault, onChange }: PairProps) {
  const id = useId();
  const cell = (part: 'key' | 'value', name: string) => (
    <input
      type="text"
      className="mono"
      aria-label={`${label}, ${name}`}
      placeholder={name}
      value={pair[part]}
      spellCheck={false}
      autoComplete="off"
      aria-invalid={fault !== null}
      aria-describedby={fault === null ? undefined : id}
      onChange={(event) => onChange({ ...pair, [part]: event.target.value })}
    />
  );
  return (
    <>
      {cell('key', 'name')}
      {cell('value', 'value')}
      {fault !== null && (
        <p className="fault" id={id}>
          <Prose text={fault} />
        </p>
      )}
    </>
  );
}
