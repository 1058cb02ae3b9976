// The grants of a module as JSON, and the button that grants them. What the server says of them stands at the field.
import { type FormEvent, type KeyboardEvent, type ReactNode, useRef, useState } from 'react';
import { flushSync } from 'react-dom';
import type { Granted, Module } from '../api/types';
import { type GrantDraft, grantText, readGrants, sameGrants } from '../state/grants';
import { useSession, useStore } from '../state/session';
import { refOf } from '../state/store';
import { JsonField } from './JsonField';
import { ProblemNote } from './ProblemNote';

// The server's words about what was written; any other problem is about the server.
const ABOUT_TEXT = ['invalid', 'exceeded'];

interface Props {
  module: Module;
  granted: Granted;
  onDone: () => void;
  /** What else can be done with them. */
  children: ReactNode;
}

export function GrantEditor({ module, granted, onDone, children }: Props) {
  const session = useSession();
  const form = useRef<HTMLFormElement>(null);
  const [sending, setSending] = useState(false);
  const draft = useStore((state) => state.grantDrafts[refOf(module)]);
  const text = grantText(draft, granted);
  const problem = draft?.problem ?? null;
  const atField = problem !== null && ABOUT_TEXT.includes(problem.kind);

  const save = async () => {
    if (sending) return;
    setSending(true);
    const done = await session.granting.save(module, text);
    flushSync(() => setSending(false));
    if (done) onDone();
    else form.current?.querySelector<HTMLElement>('textarea')?.focus();
  };
  const submit = (event: FormEvent) => {
    event.preventDefault();
    void save();
  };
  const onKey = (event: KeyboardEvent) => {
    if (event.key !== 'Enter' || !(event.ctrlKey || event.metaKey)) return;
    // Here it grants: elsewhere on the page these keys run the call.
    event.preventDefault();
    event.stopPropagation();
    void save();
  };

  return (
    <form
      ref={form}
      className="grant-form"
      onSubmit={submit}
      onKeyDown={onKey}
      aria-label="Grants"
      noValidate
    >
      {draft?.origin === 'example' && (
        <p className="note limit">
          The example works with these grants. They are a suggestion: nothing is granted until you do it.
        </p>
      )}
      <JsonField
        label="Grants as JSON: for each capability what the module may"
        text={text}
        faults={faultsOf(text, atField ? problem.detail : null)}
        onChange={(text) => session.granting.edit(module, text)}
      />
      {problem !== null && !atField && (
        <ProblemNote problem={problem} title={`Not granted: ${problem.title}`} />
      )}
      <div className="actions">
        <button type="submit" className="primary" aria-disabled={sending}>
          Grant this
        </button>
        {changed(draft, granted) && (
          <button type="button" onClick={() => session.granting.discard(module)}>
            Back to what is granted
          </button>
        )}
        {children}
      </div>
    </form>
  );
}

function faultsOf(text: string, said: string | null): { path: string; message: string }[] {
  const read = readGrants(text);
  if ('fault' in read) return [{ path: '', message: read.fault }];
  return said === null ? [] : [{ path: '', message: `The server refused it: ${said}` }];
}

function changed(draft: GrantDraft | undefined, granted: Granted): boolean {
  if (draft === undefined) return false;
  const read = readGrants(draft.text);
  return 'fault' in read || !sameGrants(read.grants, granted.grants);
}
