// Bytes without a name can be granted nothing: here they are given one. The server hands no bytes out, so this page
// sends them once more, from where it had them; else the file is chosen again.
import { type FormEvent, useId, useState } from 'react';
import { flushSync } from 'react-dom';
import type { Problem } from '../api/problem';
import type { Module } from '../api/types';
import { Prose } from '../format/Prose';
import { nameFault, nameFrom } from '../state/grants';
import { useSession, useStore } from '../state/session';
import { labelOf } from '../state/store';
import { FileButton } from './FileButton';
import { ProblemNote } from './ProblemNote';

export function NameForm({ module, fn }: { module: Module; fn: string | null }) {
  const session = useSession();
  const id = useId();
  const label = useStore((state) => labelOf(state, module));
  const [name, setName] = useState(() => (label.startsWith('sha256:') ? '' : nameFrom(label)));
  const [tried, setTried] = useState(false);
  const [sending, setSending] = useState(false);
  const [problem, setProblem] = useState<Problem | null>(null);
  const fault = nameFault(name);
  const shown = fault !== null && (tried || name !== '') ? fault : null;
  const hasBytes = session.uploading.canSend(module);

  const store = async (file: File | null) => {
    flushSync(() => setTried(true));
    if (fault !== null) return document.getElementById(id)?.focus();
    if (sending) return;
    setSending(true);
    setProblem(await session.storeUnder(name, module, file, fn));
    setSending(false);
  };
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (hasBytes) void store(null);
  };

  return (
    <form className="grant-form" onSubmit={submit} aria-label="Store under a name" noValidate>
      <p>
        Grants belong to a name and to the bytes that it stands for. This module is known by its bytes alone,
        so it can be granted nothing: store it under a name first.
      </p>
      <div className="field">
        <label htmlFor={id}>Name</label>
        <input
          id={id}
          type="text"
          className="mono"
          value={name}
          spellCheck={false}
          autoComplete="off"
          autoCapitalize="none"
          aria-invalid={shown !== null}
          aria-describedby={`${id}-about`}
          onChange={(event) => setName(event.target.value)}
        />
        <p className={shown === null ? 'quiet' : 'fault'} id={`${id}-about`}>
          <Prose text={shown ?? 'Where the name is taken, it becomes the next version of it.'} />
        </p>
      </div>
      <div className="actions">
        {hasBytes ? (
          <button type="submit" className="primary" aria-disabled={sending}>
            Store under this name
          </button>
        ) : (
          <>
            <FileButton className="primary" onFiles={([file]) => file && void store(file)}>
              Choose its file
            </FileButton>
            <span className="quiet">This page has its bytes no more: they are sent from the file.</span>
          </>
        )}
      </div>
      {problem !== null && <ProblemNote problem={problem} title={`Not stored: ${problem.title}`} />}
    </form>
  );
}
