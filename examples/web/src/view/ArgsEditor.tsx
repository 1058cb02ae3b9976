// A function's arguments, as a form of its types or as raw JSON: two views of one draft.
import { useId } from 'react';
import type { Export } from '../api/types';
import { argsFaults, editNode, editText, type Param, paramsOf, textOf, tuple } from '../form/args';
import { Field, visible } from '../form/Field';
import { blank, type Node } from '../form/node';
import { Prose } from '../format/Prose';
import type { CallDraft } from '../state/draft';
import { shownName } from './Exports';
import { JsonField } from './JsonField';

interface Props {
  target: Extract<Export, { kind: 'function' }>;
  draft: CallDraft;
  onChange: (draft: CallDraft) => void;
}

export function ArgsEditor({ target, draft, onChange }: Props) {
  const params = paramsOf(target.params);
  const inner = { params, draft, onChange };
  return (
    <>
      <div className="panel-head">
        <h2 id="call-title">
          Call <code>{shownName(target.name)}</code>
        </h2>
        {params.length > 0 && <ViewSwitch draft={draft} onChange={onChange} />}
      </div>
      {target.about !== '' && (
        <p className="quiet about">
          <Prose text={target.about} />
        </p>
      )}
      {params.length === 0 && <p className="quiet">Takes no arguments.</p>}
      {params.length > 0 && (draft.view === 'json' ? <AsJson {...inner} /> : <AsForm {...inner} />)}
    </>
  );
}

function ViewSwitch({ draft, onChange }: Omit<Props, 'target'>) {
  const name = useId();
  const choice = (view: CallDraft['view'], text: string) => (
    <label>
      <input
        type="radio"
        name={name}
        checked={draft.view === view}
        onChange={() => onChange({ ...draft, view })}
      />
      <span>{text}</span>
    </label>
  );
  return (
    <fieldset className="switch">
      <legend className="hidden">Arguments as</legend>
      {choice('form', 'Form')}
      {choice('json', 'JSON')}
    </fieldset>
  );
}

interface ViewProps {
  params: Param[];
  draft: CallDraft;
  onChange: (draft: CallDraft) => void;
}

function AsForm({ params, draft, onChange }: ViewProps) {
  const { node, unreadable } = draft.args;
  const edit = (node: Node) => onChange({ ...draft, args: editNode(node) });
  if (unreadable !== null) {
    return (
      <div className="note warn" data-fault tabIndex={-1}>
        <p className="note-title">The JSON text cannot be read</p>
        <p className="note-detail">
          <Prose text={unreadable} />
        </p>
        <div className="actions">
          <button type="button" className="small" onClick={() => onChange({ ...draft, view: 'json' })}>
            Correct the text
          </button>
          <button type="button" className="small" onClick={() => edit(node)}>
            Drop it, use the last values
          </button>
        </div>
      </div>
    );
  }
  const whole = tuple(params);
  if (node.kind !== 'items') {
    return (
      <Field
        shape={whole}
        node={node}
        label="arguments"
        type=""
        attempted
        onChange={() => edit(blank(whole))}
      />
    );
  }
  const change = (at: number, changed: Node) => {
    const items = node.items.map((item, index) => (index === at ? { ...item, node: changed } : item));
    edit({ kind: 'items', items });
  };
  return params.map(({ name, type, shape }, at) => {
    const item = node.items[at];
    return item ? (
      <Field
        key={name}
        shape={shape}
        node={item.node}
        label={name}
        type={type}
        attempted={draft.attempted}
        onChange={(changed) => change(at, changed)}
      />
    ) : null;
  });
}

function AsJson({ params, draft, onChange }: ViewProps) {
  return (
    <JsonField
      label="Arguments, as a list in order or an object by name"
      text={textOf(params, draft.args)}
      faults={argsFaults(params, draft.args).filter((fault) => visible(fault, draft.attempted) !== null)}
      onChange={(text) => onChange({ ...draft, args: editText(params, draft.args, text) })}
    />
  );
}
