// Makes a folder: a button that becomes a field for its name.
import { type FormEvent, type KeyboardEvent, useId, useRef, useState } from 'react';
import { flushSync } from 'react-dom';
import type { Problem } from '../api/problem';
import type { FileEntry } from '../api/types';
import { Prose } from '../format/Prose';
import { fileNameFault } from '../state/files';
import { useSession } from '../state/session';
import { ProblemNote } from './ProblemNote';

export function FolderForm({ path, entries }: { path: string; entries: FileEntry[] }) {
  const session = useSession();
  const id = useId();
  const [name, setName] = useState<string | null>(null);
  const [tried, setTried] = useState(false);
  const [problem, setProblem] = useState<Problem | null>(null);
  const field = useRef<HTMLInputElement>(null);
  const button = useRef<HTMLButtonElement>(null);

  const open = () => {
    flushSync(() => setName(''));
    field.current?.focus();
  };
  const close = () => {
    flushSync(() => {
      setName(null);
      setTried(false);
      setProblem(null);
    });
    button.current?.focus();
  };
  if (name === null) {
    return (
      <button type="button" ref={button} onClick={open}>
        New folder
      </button>
    );
  }
  const fault = fileNameFault(name, entries);
  const shown = fault !== null && (tried || name !== '') ? fault : null;
  const submit = async (event: FormEvent) => {
    event.preventDefault();
    setTried(true);
    if (fault !== null) return field.current?.focus();
    const failed = await session.browsing.makeFolder(path, name);
    if (failed === null) close();
    else setProblem(failed);
  };
  const onKey = (event: KeyboardEvent) => {
    if (event.key === 'Escape') close();
  };
  return (
    <form className="folder-form" onSubmit={(event) => void submit(event)} onKeyDown={onKey} noValidate>
      <label className="hidden" htmlFor={id}>
        Name of the folder
      </label>
      <input
        id={id}
        ref={field}
        type="text"
        value={name}
        placeholder="Name of the folder"
        spellCheck={false}
        autoComplete="off"
        aria-invalid={shown !== null}
        aria-describedby={shown === null ? undefined : `${id}-fault`}
        onChange={(event) => setName(event.target.value)}
      />
      <button type="submit">Make it</button>
      <button type="button" className="plain" onClick={close}>
        Cancel
      </button>
      {shown !== null && (
        <p className="fault" id={`${id}-fault`}>
          <Prose text={shown} />
        </p>
      )}
      {problem !== null && <ProblemNote problem={problem} title="The folder was not made" />}
    </form>
  );
}
