// What became of one run: its verdict, its value or its fault, its output, its cost.
import { memo, useEffect, useRef, useState } from 'react';
import type { Export } from '../api/types';
import { clock, duration } from '../format/units';
import { callText, type Run, verdictOf, wallOf } from '../state/run';
import { useSession } from '../state/session';
import { EndingView } from './EndingView';
import { HandlerView } from './HandlerView';
import { ProblemNote } from './ProblemNote';
import { TextBlock } from './TextBlock';
import { UsageTable } from './UsageTable';

interface Props {
  run: Run | null;
  target: Export | undefined;
}

// Drawn again only for another run: a value may be megabytes, and typing beside it must stay quick.
export const RunResult = memo(function RunResult({ run, target }: Props) {
  const box = useRef<HTMLElement>(null);
  const started = run?.result.state === 'running' ? run.id : null;
  useEffect(() => {
    // Where the page is narrow, the answer stands below the form: come to it.
    if (started === null || box.current === null) return;
    if (box.current.getBoundingClientRect().top > innerHeight - 120)
      box.current.scrollIntoView({ block: 'start' });
  }, [started]);
  if (run === null) return <Nothing target={target} />;
  return (
    <section className="panel result" aria-labelledby="result-title" ref={box}>
      <ResultHead run={run} />
      <Body run={run} />
    </section>
  );
});

function Nothing({ target }: { target: Export | undefined }) {
  const words =
    target === undefined
      ? 'Choose an export to call it.'
      : 'Fill in the arguments and press Run: the answer and its cost appear here.';
  return (
    <section className="panel result empty" aria-labelledby="result-title">
      <h2 id="result-title">Result</h2>
      <p className="quiet">{words}</p>
    </section>
  );
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
      </div>
      <code className="call-text">{callText(run)}</code>
      <div className="result-actions">
        <span className="quiet">{clock(run.startedAt)}</span>
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

function Body({ run }: { run: Run }) {
  const { result } = run;
  switch (result.state) {
    case 'running':
      return <p className="quiet">Running. It ends by itself at its deadline; Cancel stops it now.</p>;
    case 'stopped':
      return <p>Stopped by you, before it ended.</p>;
    case 'problem':
      return <ProblemNote problem={result.problem} />;
    case 'response':
      return <HandlerView response={result.response} />;
    case 'outcome':
      return (
        <>
          <EndingView outcome={result.outcome} />
          {result.outcome.stdout !== '' && <TextBlock title="Standard output" text={result.outcome.stdout} />}
          {result.outcome.stderr !== '' && <TextBlock title="Standard error" text={result.outcome.stderr} />}
          <UsageTable usage={result.outcome.usage} />
        </>
      );
  }
}
