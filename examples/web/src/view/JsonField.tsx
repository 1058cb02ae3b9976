// A value as raw JSON: the text as it is typed, and below it what is wrong with it.
import { useId } from 'react';
import { Prose } from '../format/Prose';

interface Props {
  label: string;
  text: string;
  faults: { path: string; message: string }[];
  onChange: (text: string) => void;
}

// More of them nobody reads at once.
const FAULTS_SHOWN_MAX = 5;

export function JsonField({ label, text, faults, onChange }: Props) {
  const id = useId();
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      <textarea
        id={id}
        className="grow mono raw"
        rows={4}
        spellCheck={false}
        value={text}
        aria-invalid={faults.length > 0}
        aria-describedby={faults.length > 0 ? `${id}-fault` : undefined}
        onChange={(event) => onChange(event.target.value)}
      />
      {faults.length > 0 && (
        <ul className="fault" id={`${id}-fault`}>
          {faults.slice(0, FAULTS_SHOWN_MAX).map((fault, at) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: messages have no other identity
            <li key={at}>
              {fault.path !== '' && <code>{fault.path}: </code>}
              <Prose text={fault.message} />
            </li>
          ))}
        </ul>
      )}
    </div>
  );
}
