// What a command takes: arguments, environment, standard input.
import { useId } from 'react';
import type { Export } from '../api/types';
import { type CallDraft, nextId } from '../state/draft';
import { Pairs } from './Pairs';

interface Props {
  target: Export;
  draft: CallDraft;
  onChange: (draft: CallDraft) => void;
}

export function CommandFields({ target, draft, onChange }: Props) {
  const stdinId = useId();
  return (
    <>
      <div className="panel-head">
        <h2 id="call-title">
          Run <code>{target.name}</code>
        </h2>
      </div>
      <fieldset className="field">
        <legend>Arguments</legend>
        {draft.cli.map((line, at) => (
          <div className="pair single" key={line.id}>
            <input
              type="text"
              className="mono"
              aria-label={`argument ${at + 1}`}
              value={line.text}
              spellCheck={false}
              autoComplete="off"
              onChange={(event) => {
                const text = event.target.value;
                onChange({
                  ...draft,
                  cli: draft.cli.map((one) => (one.id === line.id ? { ...one, text } : one)),
                });
              }}
            />
            <button
              type="button"
              className="small icon-only"
              aria-label={`Remove argument ${at + 1}`}
              onClick={() => onChange({ ...draft, cli: draft.cli.filter(({ id }) => id !== line.id) })}
            >
              ×
            </button>
          </div>
        ))}
        <button
          type="button"
          className="small add"
          onClick={() => onChange({ ...draft, cli: [...draft.cli, { id: nextId(), text: '' }] })}
        >
          Add argument
        </button>
      </fieldset>
      <Pairs
        legend="Environment"
        noun="variable"
        pairs={draft.env}
        onChange={(env) => onChange({ ...draft, env })}
      />
      <div className="field">
        <label htmlFor={stdinId}>Standard input</label>
        <textarea
          id={stdinId}
          className="grow mono"
          rows={2}
          spellCheck={false}
          value={draft.stdin}
          onChange={(event) => onChange({ ...draft, stdin: event.target.value })}
        />
      </div>
    </>
  );
}
