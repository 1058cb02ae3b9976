// The limits of one call, folded away: the server's own hold for what is left empty.
import { useId } from 'react';
import { count } from '../format/units';
import { type CallDraft, limitFault, metersFuel, seedFault } from '../state/draft';
import { LIMITS } from '../state/limits';

interface Props {
  draft: CallDraft;
  onChange: (draft: CallDraft) => void;
}

export function LimitFields({ draft, onChange }: Props) {
  const { fuel: _, ...unfuelled } = draft.limits;
  return (
    <details className="limits" id="limits">
      <summary>
        <h3>Limits</h3>
        <span className="quiet">{summaryOf(draft)}</span>
      </summary>
      <div className="limit-grid">
        {LIMITS.map((limit) => {
          const { id, label, unit, about } = limit;
          const text = draft.limits[id] ?? '';
          return (
            <NumberField
              key={id}
              name={id}
              label={unit === '' ? label : `${label}, ${unit}`}
              about={about}
              value={text}
              fault={limitFault(limit, text)?.message ?? null}
              onChange={(text) => onChange({ ...draft, limits: { ...draft.limits, [id]: text } })}
            />
          );
        })}
        <NumberField
          name="seed"
          label="Seed"
          about="Fixes random numbers and clocks, so that a run can be repeated exactly"
          value={draft.seed}
          fault={seedFault(draft.seed)?.message ?? null}
          onChange={(seed) => onChange({ ...draft, seed })}
        />
      </div>
      <label className="check">
        <input
          type="checkbox"
          checked={metersFuel(draft)}
          onChange={(event) => onChange({ ...draft, fuel: event.target.checked, limits: unfuelled })}
        />
        <span>Meter by fuel: exact and repeatable, somewhat slower</span>
      </label>
    </details>
  );
}

interface NumberProps {
  name: string;
  label: string;
  about: string;
  value: string;
  fault: string | null;
  onChange: (text: string) => void;
}

function NumberField({ name, label, about, value, fault, onChange }: NumberProps) {
  const id = useId();
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      <input
        id={id}
        data-limit={name}
        type="text"
        inputMode="decimal"
        className="mono"
        placeholder={name === 'seed' ? 'none' : 'the server’s own'}
        value={value}
        autoComplete="off"
        aria-invalid={fault !== null}
        aria-describedby={`${id}-about`}
        onChange={(event) => onChange(event.target.value)}
      />
      <p id={`${id}-about`} className={fault === null ? 'quiet' : 'fault'}>
        {fault ?? about}
      </p>
    </div>
  );
}

function summaryOf(draft: CallDraft): string {
  const set = LIMITS.flatMap((limit) => {
    const { id, label, unit } = limit;
    const text = draft.limits[id]?.trim() ?? '';
    if (text === '' || limitFault(limit, text) !== null) return [];
    return [`${label.toLowerCase()} ${/^\d+$/.test(text) ? count(Number(text)) : text}${unit && ` ${unit}`}`];
  });
  if (draft.fuel && !draft.limits.fuel?.trim()) set.push('metered by fuel');
  if (draft.seed.trim() !== '') set.push(`seed ${draft.seed.trim()}`);
  return set.length === 0 ? 'the server’s own' : set.join(', ');
}
