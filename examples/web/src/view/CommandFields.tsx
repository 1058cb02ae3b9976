// What a command takes: arguments, environment, standard input.
import { useId } from 'react';
import type { Export } from '../api/types';
import { Rows } from '../form/Rows';
import { type CallDraft, envFault, type Line, nextId } from '../state/draft';
import { Pairs } from './Pairs';

interface Props {
  target: Export;
  draft: CallDraft;
  onChange: (draft: CallDraft) => void;
}

export function CommandFields({ target, draft, onChange }: Props) {
  const stdinId = useId();
  const edit = (changed: Line) =>
    onChange({ ...draft, cli: draft.cli.map((line) => (line.id === changed.id ? changed : line)) });
  return (
    <>
      <div className="panel-head">
        <h2 id="call-title">
          Run <code>{target.name}</code>
        </h2>
      </div>
      <fieldset className="field">
        <legend>Arguments</legend>
        <Rows
          rows={draft.cli}
          noun="argument"
          addText="Add argument"
          className="lines"
          onAdd={() => onChange({ ...draft, cli: [...draft.cli, { id: nextId(), text: '' }] })}
          onRemove={(removed) => onChange({ ...draft, cli: draft.cli.filter(({ id }) => id !== removed) })}
        >
          {(line, at) => (
            <input
              type="text"
              className="mono"
              aria-label={`argument ${at + 1}`}
              value={line.text}
              spellCheck={false}
              autoComplete="off"
              onChange={(event) => edit({ ...line, text: event.target.value })}
            />
          )}
        </Rows>
      </fieldset>
      <Pairs
        legend="Environment"
        noun="variable"
        pairs={draft.env}
        faultOf={envFault}
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
