// The runs of this visit, newest first; a click shows one again, in its module and function.
import { memo } from 'react';
import { flushSync } from 'react-dom';
import { clock, duration } from '../format/units';
import { callText, type Run, verdictOf, wallOf } from '../state/run';
import { useSession, useStore } from '../state/session';
import { comeTo } from './comeTo';

export function History({ current }: { current: number | null }) {
  const session = useSession();
  const runs = useStore((state) => state.runs);
  const show = (run: Run) => {
    flushSync(() => session.choose(run));
    comeTo(document.getElementById('result-title'));
  };
  if (runs.length === 0) return null;
  return (
    <section className="panel history" aria-labelledby="history-title">
      <div className="panel-head">
        <h2 id="history-title">History</h2>
        <span className="quiet">{runs.length} of this visit</span>
      </div>
      <ol className="runs">
        {runs.map((run) => (
          <li key={run.id}>
            <button
              type="button"
              className="link"
              aria-current={run.id === current ? 'true' : undefined}
              onClick={() => show(run)}
            >
              <RunLine run={run} />
            </button>
          </li>
        ))}
      </ol>
    </section>
  );
}

const RunLine = memo(function RunLine({ run }: { run: Run }) {
  const { word, tone } = verdictOf(run);
  const wall = wallOf(run);
  return (
    <>
      <span className={`verdict ${tone}`}>{word}</span>
      <code className="run-call">{callText(run)}</code>
      <span className="quiet run-about">
        {run.label} · {clock(run.startedAt)}
        {wall !== null && ` · ${duration(wall)}`}
      </span>
    </>
  );
});
