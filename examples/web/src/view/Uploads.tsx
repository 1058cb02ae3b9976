// Files on their way to the server, and those that it refused.
import type { Problem } from '../api/problem';
import { useSession, useStore } from '../state/session';
import { ProblemNote } from './ProblemNote';

function about(name: string, problem: Problem): Problem {
  const advice =
    problem.kind === 'invalid'
      ? 'Only WebAssembly can be added: modules and components, binary or text.'
      : problem.advice;
  return { ...problem, advice, title: `${name}: ${problem.title}` };
}

export function Uploads() {
  const session = useSession();
  const uploads = useStore((state) => state.uploads);
  if (uploads.length === 0) return null;
  return (
    <ul className="uploads" aria-label="Files being added">
      {uploads.map(({ id, name, problem }) => (
        <li key={id}>
          {problem === null ? (
            <p className="sending">
              <span className="spinner" aria-hidden="true" />
              Sending {name}…
            </p>
          ) : (
            <ProblemNote problem={about(name, problem)}>
              <button type="button" className="small" onClick={() => session.dismissUpload(id)}>
                Dismiss<span className="hidden"> the message about {name}</span>
              </button>
            </ProblemNote>
          )}
        </li>
      ))}
    </ul>
  );
}
