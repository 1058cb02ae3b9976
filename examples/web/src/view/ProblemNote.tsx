// Something that went wrong: what, why, and what to do next. Where the way out is the server's address or token, the
// dialog for them is one click away.
import type { ReactNode } from 'react';
import type { Problem } from '../api/problem';
import { Prose } from '../format/Prose';
import { useSession } from '../state/session';

const ABOUT_SERVER = ['unreachable', 'unauthorized', 'forbidden', 'not_runner'];

export function ProblemNote({ problem, children }: { problem: Problem; children?: ReactNode }) {
  const session = useSession();
  return (
    <div className="note bad">
      <p className="note-title">
        {problem.title} {problem.status !== null && <span className="quiet">{problem.status}</span>}
      </p>
      {problem.detail !== '' && (
        <p className="note-detail">
          <Prose text={problem.detail} />
        </p>
      )}
      {problem.advice !== '' && <p>{problem.advice}</p>}
      <div className="actions">
        {ABOUT_SERVER.includes(problem.kind) && (
          <button type="button" className="small" onClick={() => session.settings(true)}>
            Set the server
          </button>
        )}
        {children}
      </div>
    </div>
  );
}
