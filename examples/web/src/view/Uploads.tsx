// Files on their way to the server, and those that it refused.
import type { Problem } from '../api/problem';
import { plural } from '../format/units';
import { useSession, useStore } from '../state/session';
import { ProblemNote } from './ProblemNote';

function about(problem: Problem): Problem {
  const advice = 'WebAssembly can be added: modules and components, binary or text.';
  return problem.kind === 'invalid' ? { ...problem, advice } : problem;
}

function lowerFirst(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1);
}

export function Uploads() {
  const session = useSession();
  const uploads = useStore((state) => state.uploads);
  if (uploads.length === 0) return null;
  const refused = uploads.filter(({ problem }) => problem !== null);
  return (
    <>
      <ul className="uploads" aria-label="Files being added">
        {uploads.map(({ id, name, problem }) => (
          <li key={id}>
            {problem === null ? (
              <p className="sending">
                <span className="spinner" aria-hidden="true" />
                Sending {name}…
              </p>
            ) : (
              <ProblemNote problem={about(problem)} title={`${name}: ${lowerFirst(problem.title)}`}>
                <button type="button" className="small" onClick={() => session.dismissUploads([id])}>
                  Dismiss<span className="hidden"> the message about {name}</span>
                </button>
              </ProblemNote>
            )}
          </li>
        ))}
      </ul>
      {refused.length > 1 && (
        <button
          type="button"
          className="small dismiss-all"
          onClick={() => session.dismissUploads(refused.map(({ id }) => id))}
        >
          Dismiss all {plural(refused.length, 'message')}
        </button>
      )}
    </>
  );
}
