// One module: what it is, what it exports and needs, and a call of one of its exports beside the answer.
import { useEffect, useRef } from 'react';
import type { Problem } from '../api/problem';
import type { Module } from '../api/types';
import { bytes, day, shortId } from '../format/units';
import type { Route } from '../route';
import { useSession, useStore } from '../state/session';
import { labelOf, labelOfRef, refOf, runInView } from '../state/store';
import { Asks } from './Asks';
import { AskTwice } from './AskTwice';
import { CallForm } from './CallForm';
import { comeTo } from './comeTo';
import { Explain } from './Explain';
import { Exports } from './Exports';
import { Grants } from './Grants';
import { History } from './History';
import { ProblemNote } from './ProblemNote';
import { RunResult } from './RunResult';

export function ModuleView({ route }: { route: Route & { ref: string } }) {
  const session = useSession();
  const detail = useStore((state) => state.details[route.ref]);
  useEffect(() => {
    void session.open(route.ref);
  }, [session, route.ref]);
  if (detail === undefined || detail.state === 'loading') return <p className="quiet">Loading the module…</p>;
  if (detail.state === 'failed') return <Gone route={route} problem={detail.problem} />;
  return <Loaded module={detail.value} route={route} />;
}

function Loaded({ module, route }: { module: Module; route: Route & { ref: string } }) {
  const target = module.exports.find(({ name }) => name === route.fn) ?? null;
  // The address may name a module without its version.
  const ref = refOf(module);
  const run = useStore((state) => (route.fn === null ? null : runInView(state, ref, route.fn)));
  const ask = useRef<HTMLDivElement>(null);
  const before = useRef(route);
  useEffect(() => {
    const { ref, fn } = before.current;
    before.current = route;
    if (ref === route.ref && fn !== route.fn) comeTo(ask.current?.querySelector('form.call'));
  }, [route]);
  return (
    <>
      <ModuleHead module={module} />
      <div className="bench">
        <div className="ask" ref={ask}>
          <Exports
            moduleRef={route.ref}
            all={module.exports}
            current={route.fn}
            schemasLeftOut={module.schemas_left_out}
          />
          <Asks key={`asks ${ref}`} module={module} />
          <Grants key={`grants ${ref}`} module={module} fn={route.fn} />
          {target && target.kind !== 'unsupported' && (
            <CallForm key={`${ref} ${target.name}`} module={module} target={target} run={run} />
          )}
          <Explain key={`explain ${ref}`} module={module} />
        </div>
        <div className="answer">
          <RunResult run={run} module={module} target={target} />
          <History current={run?.id ?? null} />
        </div>
      </div>
    </>
  );
}

/** A module that cannot be shown: what was run of it is still here. */
function Gone({ route, problem }: { route: Route & { ref: string }; problem: Problem }) {
  const session = useSession();
  const label = useStore((state) => labelOfRef(state, route.ref));
  const run = useStore((state) => (route.fn === null ? null : runInView(state, route.ref, route.fn)));
  return (
    <div className="answer">
      <h1>{label}</h1>
      <ProblemNote problem={problem}>
        <button type="button" className="small" onClick={() => void session.open(route.ref)}>
          Try again
        </button>
      </ProblemNote>
      {run !== null && <RunResult run={run} module={null} target={null} />}
      <History current={run?.id ?? null} />
    </div>
  );
}

function ModuleHead({ module }: { module: Module }) {
  const session = useSession();
  const added = day(module.created);
  const label = useStore((state) => labelOf(state, module));
  useEffect(() => {
    document.title = `${label} · Runner`;
    return () => {
      document.title = 'Runner';
    };
  }, [label]);
  return (
    <div className="module-head">
      <h1>{label}</h1>
      <ul className="facts" aria-label="About this module">
        <li className="chip">{module.kind}</li>
        <li>{bytes(module.size_bytes)}</li>
        <li title={module.id}>
          <code>{shortId(module.id)}</code>
        </li>
        {added !== '' && <li>added {added}</li>}
      </ul>
      <AskTwice
        text="Delete"
        about={label}
        sure="Delete from the server"
        onSure={() => void session.delete(module)}
      />
    </div>
  );
}
