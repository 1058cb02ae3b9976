// Something that went wrong: what, why, and what to do next. Where the way out is the server's address or token, the
// dialog for them is one click away.
import type { ReactNode } from 'react';
import type { Problem } from '../api/problem';
import { Prose } from '../format/Prose';
import { useSession } from '../state/session';

const ABOUT_SERVER = ['unreachable', 'unauthorized', 'forbidden', 'not_runner'];

interface Props {
  problem: Problem;
  title?: string;
  children?: ReactNode;
}

export function ProblemNote({ problem, title = problem.title, children }: Props) {
  const session = useSession();
  return (
    <div className="note bad">
      <p className="note-title">
        {title} {problem.status !== null && <span className="quiet">{problem.status}</span>}
      </p>
      {problem.detail !== '' && <Detail text={problem.detail} />}
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

/** A fault in a text comes with the line, and a mark below the place: they must stay in columns. */
function Detail({ text }: { text: string }) {
  return text.includes('\n') ? (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, so the keyboard must reach it
    <pre className="note-detail" tabIndex={0}>
      {text}
    </pre>
  ) : (
    <p className="note-detail">
      <Prose text={text} />
    </p>
  );
}
