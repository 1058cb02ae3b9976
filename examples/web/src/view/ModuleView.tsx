// One module: what it is, what it exports and needs, and a call of one of its exports beside the answer.
import { useEffect, useState } from 'react';
import type { Problem } from '../api/problem';
import type { Module } from '../api/types';
import { bytes, day, shortId } from '../format/units';
import type { Route } from '../route';
import { useSession, useStore } from '../state/session';
import { labelOf, runInView } from '../state/store';
import { CallForm } from './CallForm';
import { Exports } from './Exports';
import { History } from './History';
import { Imports } from './Imports';
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
  const target = module.exports.find(({ name }) => name === route.fn);
  const run = useStore((state) => (route.fn === null ? null : runInView(state, route.ref, route.fn)));
  return (
    <>
      <ModuleHead module={module} />
      <div className="bench">
        <div className="ask">
          <Exports moduleRef={route.ref} all={module.exports} current={route.fn} />
          <Imports all={module.imports} />
          {target && target.kind !== 'unsupported' && (
            <CallForm key={`${route.ref} ${target.name}`} module={module} target={target} run={run} />
          )}
        </div>
        <div className="answer">
          <RunResult run={run} target={target} />
          <History current={run?.id ?? null} />
        </div>
      </div>
    </>
  );
}

/** A module that cannot be shown: what was run of it is still here. */
function Gone({ route, problem }: { route: Route & { ref: string }; problem: Problem }) {
  const run = useStore((state) => (route.fn === null ? null : runInView(state, route.ref, route.fn)));
  return (
    <div className="answer">
      <ProblemNote problem={problem} />
      {run !== null && <RunResult run={run} target={undefined} />}
      <History current={run?.id ?? null} />
    </div>
  );
}

function ModuleHead({ module }: { module: Module }) {
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
      <DeleteButton module={module} label={label} />
    </div>
  );
}

/** Asks once more in its own place: a module is gone for everyone who uses the server. */
function DeleteButton({ module, label }: { module: Module; label: string }) {
  const session = useSession();
  const [asked, setAsked] = useState(false);
  if (!asked) {
    return (
      <button type="button" className="small plain" onClick={() => setAsked(true)}>
        Delete<span className="hidden"> {label}</span>
      </button>
    );
  }
  return (
    <span className="confirm">
      {/* biome-ignore lint/a11y/noAutofocus: it stands where the button was that had the focus */}
      <button type="button" className="small danger" autoFocus onClick={() => void session.delete(module)}>
        Delete from the server
      </button>
      <button type="button" className="small" onClick={() => setAsked(false)}>
        Keep
      </button>
    </span>
  );
}
