// Files on their way to or from the server, those that it refused, and those that would replace another.
import type { Problem } from '../api/problem';
import type { FileWork } from '../state/files';
import { useSession, useStore } from '../state/session';
import { ProblemNote } from './ProblemNote';

export function FileWorks({ path }: { path: string }) {
  const all = useStore((state) => state.fileWorks);
  const works = all.filter(({ folder }) => folder === path);
  if (works.length === 0) return null;
  return (
    <ul className="uploads" aria-label="Files under way">
      {works.map((work) => (
        <li key={work.id}>
          {work.state === 'asking' ? (
            <Asking work={work} />
          ) : work.problem === null ? (
            <p className="sending">
              <span className="spinner" aria-hidden="true" />
              {work.state === 'fetching' ? 'Fetching' : 'Sending'} {work.name}…
            </p>
          ) : (
            <Failed work={work} problem={work.problem} />
          )}
        </li>
      ))}
    </ul>
  );
}

function Asking({ work }: { work: FileWork }) {
  const session = useSession();
  const { id, name } = work;
  return (
    <div className="note warn">
      <p className="note-title">
        <bdi>{name}</bdi> is there already
      </p>
      <div className="actions">
        <button type="button" className="small danger" onClick={() => void session.browsing.replace(work)}>
          Replace it<span className="hidden">: {name}</span>
        </button>
        <button type="button" className="small" onClick={() => session.browsing.dismiss(id)}>
          Keep what is there<span className="hidden">: {name}</span>
        </button>
      </div>
    </div>
  );
}

function Failed({ work: { id, name }, problem }: { work: FileWork; problem: Problem }) {
  const session = useSession();
  return (
    <ProblemNote
      problem={problem}
      title={`${name}: ${problem.title.charAt(0).toLowerCase()}${problem.title.slice(1)}`}
    >
      <button type="button" className="small" onClick={() => session.browsing.dismiss(id)}>
        Dismiss<span className="hidden"> the message about {name}</span>
      </button>
    </ProblemNote>
  );
}
