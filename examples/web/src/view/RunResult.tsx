// What became of one run: its verdict, its value or its fault, its output, its cost.
import { memo, useEffect, useRef, useState } from 'react';
import type { Export, Module, Outcome } from '../api/types';
import { clock, duration } from '../format/units';
import { needsGrant } from '../state/grants';
import { callText, type Run, verdictOf, wallOf } from '../state/run';
import { firstCallable, useSession } from '../state/session';
import { ChangedFiles } from './ChangedFiles';
import { comeTo } from './comeTo';
import { EndingView } from './EndingView';
import { unfold } from './Fold';
import { HandlerView } from './HandlerView';
import { ProblemNote } from './ProblemNote';
import { TextBlock } from './TextBlock';
import { UsageTable } from './UsageTable';

interface Props {
  run: Run | null;
  /** Of the module in view, if it is there: its export that is chosen. */
  module: Module | null;
  target: Export | null;
}

// Drawn again only for another run: a value may be megabytes, and typing beside it must stay quick.
export const RunResult = memo(function RunResult({ run, module, target }: Props) {
  const box = useRef<HTMLElement>(null);
  const started = run?.result.state === 'running' ? run.id : null;
  useEffect(() => {
    if (started !== null) comeTo(box.current);
  }, [started]);
  if (run === null) return <Nothing module={module} target={target} />;
  return (
    <section className="panel result" aria-labelledby="result-title" ref={box}>
      <ResultHead run={run} />
      <Body run={run} module={module} />
    </section>
  );
});

function Nothing({ module, target }: Omit<Props, 'run'>) {
  return (
    <section className="panel result empty" aria-labelledby="result-title">
      <h2 id="result-title">Result</h2>
      <p className="quiet">{wordsBefore(module, target)}</p>
    </section>
  );
}

function wordsBefore(module: Module | null, target: Export | null): string {
  if (module !== null && firstCallable(module) === undefined) return 'This module has nothing to call.';
  if (target === null) return 'Choose an export to call it.';
  const asks = target.kind === 'function' ? target.params.length > 0 : target.kind === 'http';
  const first = asks ? `Fill in the ${target.kind === 'http' ? 'request' : 'arguments'} and press` : 'Press';
  return `${first} Run: the answer and its cost appear here.`;
}

function ResultHead({ run }: { run: Run }) {
  const session = useSession();
  const { word, tone } = verdictOf(run);
  const wall = wallOf(run);
  const over = run.result.state !== 'running';
  return (
    <div className="result-head">
      <div className="panel-head">
        <h2 id="result-title">Result</h2>
        <span className={`verdict ${tone}`}>{word}</span>
        {over && wall !== null && <span className="quiet">{duration(wall)}</span>}
        {!over && <Elapsed since={run.startedAt} />}
        <span className="quiet result-time">{clock(run.startedAt)}</span>
      </div>
      <code className="call-text">{callText(run)}</code>
      <div className="result-actions">
        <button type="button" className="small plain" onClick={() => session.putBack(run)}>
          Put arguments back
        </button>
        {over && (
          <button type="button" className="small plain" onClick={() => session.runAgain(run)}>
            Run again
          </button>
        )}
      </div>
    </div>
  );
}

function Elapsed({ since }: { since: number }) {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 100);
    return () => clearInterval(timer);
  }, []);
  return (
    <span className="quiet" aria-hidden="true">
      <span className="spinner" /> {(Math.max(0, now - since) / 1000).toFixed(1)} s
    </span>
  );
}

function Body({ run, module }: Pick<Props, 'module'> & { run: Run }) {
  const { result } = run;
  switch (result.state) {
    case 'running':
      return <p className="quiet">Running. It ends by itself at its deadline; Cancel stops it now.</p>;
    case 'stopped':
      return <p>Stopped by you, before it ended.</p>;
    case 'problem':
      return (
        <>
          <ProblemNote problem={result.problem}>
            {result.problem.kind === 'denied' && module !== null && <ToGrants module={module} />}
          </ProblemNote>
          {result.problem.outcome && <OutputAndCost outcome={result.problem.outcome} run={run} />}
        </>
      );
    case 'response':
      return <HandlerView response={result.response} />;
    case 'outcome':
      return (
        <>
          {run.target.kind === 'http' && (
            <p>The handler gave no answer: whoever asks it gets a problem from the server instead.</p>
          )}
          <EndingView outcome={result.outcome} target={run.target.kind} />
          <OutputAndCost outcome={result.outcome} run={run} />
        </>
      );
  }
}

/** Where what it lacks can be granted; else where it is said what that is. */
function ToGrants({ module }: { module: Module }) {
  if (needsGrant(module))
    return (
      <button type="button" className="small" onClick={() => unfold('grants')}>
        Go to its grants
      </button>
    );
  return (
    <button type="button" className="small" onClick={() => unfold('asks')}>
      See what it asks for
    </button>
  );
}

function OutputAndCost({ outcome, run }: { outcome: Outcome; run: Run }) {
  const { call, stdout, stderr, usage } = outcome;
  return (
    <>
      {stdout !== '' && <TextBlock title="Standard output" text={stdout} />}
      {stderr !== '' && <TextBlock title="Standard error" text={stderr} />}
      {usage.changes !== null && <ChangedFiles changes={usage.changes} moduleRef={run.ref} />}
      <UsageTable usage={usage} />
      {call !== null && (
        <p className="quiet call-number">
          In the server’s log it is call <code>{call}</code>.
        </p>
      )}
    </>
  );
}
