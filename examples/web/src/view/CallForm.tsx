// The call of one export: its arguments by form or as JSON, what a command or a handler takes, the limits, and the
// button. Reads and writes the draft in the store.
import { type FormEvent, useCallback, useEffect, useRef } from 'react';
import { flushSync } from 'react-dom';
import type { Export, Module } from '../api/types';
import { blankDraft, type CallDraft } from '../state/draft';
import type { Run } from '../state/run';
import { useSession, useStore } from '../state/session';
import { draftKey, refOf } from '../state/store';
import { ArgsEditor } from './ArgsEditor';
import { CommandFields } from './CommandFields';
import { HttpFields } from './HttpFields';
import { LimitFields } from './LimitFields';

const COMMAND_KEY = /Mac|iPhone|iPad/.test(navigator.userAgent) ? '⌘' : 'Ctrl';

interface Props {
  module: Module;
  target: Export;
  run: Run | null;
}

export function CallForm({ module, target, run }: Props) {
  const session = useSession();
  const form = useRef<HTMLFormElement>(null);
  const runButton = useRef<HTMLButtonElement>(null);
  const ref = refOf(module);
  const saved = useStore((state) => state.drafts[draftKey(ref, target.name)]);
  const blank = useRef<CallDraft | null>(null);
  blank.current ??= blankDraft(target);
  const draft = saved ?? blank.current;
  const running = run?.result.state === 'running' ? run : null;
  const change = (draft: CallDraft) => session.edit(ref, target, draft);

  const start = useCallback(() => {
    if (running !== null) return;
    // Drawn at once, so that the focus can go to what must be corrected.
    const started = flushSync(() => session.run(module, target, draft));
    if (started) return;
    const faulty = form.current?.querySelector<HTMLElement>('[aria-invalid="true"], [data-fault]');
    faulty?.closest('details')?.setAttribute('open', '');
    faulty?.focus();
  }, [session, module, target, draft, running]);

  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (
        event.key !== 'Enter' ||
        !(event.ctrlKey || event.metaKey) ||
        document.querySelector('dialog[open]')
      )
        return;
      event.preventDefault();
      start();
    };
    addEventListener('keydown', onKey);
    return () => removeEventListener('keydown', onKey);
  }, [start]);

  const submit = (event: FormEvent) => {
    event.preventDefault();
    start();
  };

  const cancel = () => {
    // This button goes away: the focus must not go with it.
    runButton.current?.focus();
    if (running !== null) session.stop(running);
  };

  return (
    <form className="panel call" ref={form} onSubmit={submit} aria-labelledby="call-title" noValidate>
      {target.kind === 'function' && <ArgsEditor target={target} draft={draft} onChange={change} />}
      {target.kind === 'command' && <CommandFields target={target} draft={draft} onChange={change} />}
      {target.kind === 'http' && <HttpFields target={target} draft={draft} onChange={change} />}
      {target.kind !== 'http' && <LimitFields draft={draft} onChange={change} />}
      <div className="actions">
        <button type="submit" className="primary run" ref={runButton} aria-disabled={running !== null}>
          Run
        </button>
        {running !== null && (
          <button type="button" onClick={cancel}>
            Cancel
          </button>
        )}
        <span className="quiet keys">
          <kbd>{COMMAND_KEY}</kbd> <kbd>Enter</kbd>
        </span>
      </div>
    </form>
  );
}
