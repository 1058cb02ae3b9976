// What a visitor sees first: what this is, a place to drop a module, and modules to try.
import type { Example } from '../api/types';
import { Prose } from '../format/Prose';
import { printFlat } from '../json/json';
import { folderHref } from '../route';
import { useSession, useStore } from '../state/session';
import { FileButton } from './FileButton';
import { ProblemNote } from './ProblemNote';
import { Uploads } from './Uploads';

export function Welcome() {
  return (
    <div className="welcome">
      <h1>Run any WebAssembly module, by its real types and within limits.</h1>
      <div className="drop-zone">
        <svg viewBox="0 0 48 48" width="44" height="44" aria-hidden="true">
          <path d="M24 6v22m0 0-8-8m8 8 8-8M8 30v8a4 4 0 0 0 4 4h24a4 4 0 0 0 4-4v-8" />
        </svg>
        <p className="drop-words">
          Drop <code>.wasm</code> or <code>.wat</code> files anywhere on this page
        </p>
        <FileButton className="primary">Choose files</FileButton>
        <p className="quiet">
          See the functions with their types, call one, read its answer and what it cost.
        </p>
      </div>
      <Uploads />
      <Examples />
      <p className="quiet">
        Modules that are granted files keep them on the server: <a href={folderHref('')}>look at the files</a>
        .
      </p>
    </div>
  );
}

function Examples() {
  const session = useSession();
  const examples = useStore((state) => state.examples);
  if (examples.state === 'loading') return <p className="quiet">Loading the examples…</p>;
  if (examples.state === 'failed') {
    return (
      <ProblemNote problem={examples.problem}>
        <button type="button" className="small" onClick={() => session.start()}>
          Try again
        </button>
      </ProblemNote>
    );
  }
  if (examples.value.length === 0) return null;
  return (
    <section aria-labelledby="examples-title">
      <h2 id="examples-title">Or begin with an example</h2>
      <ul className="cards">
        {examples.value.map((example) => (
          <li key={example.file}>
            <Card example={example} />
          </li>
        ))}
      </ul>
    </section>
  );
}

function Card({ example }: { example: Example }) {
  const session = useSession();
  return (
    <button type="button" className="card" onClick={() => void session.addExample(example)}>
      <span className="card-title">{example.title}</span>
      <span className="card-about">
        <Prose text={example.about} />
      </span>
      <code className="card-call">{callText(example) ?? example.file}</code>
      {example.grants !== null && Object.keys(example.grants).length > 0 && (
        <span className="chip">wants {Object.keys(example.grants).join(', ')}</span>
      )}
    </button>
  );
}

function callText({ function: name, args }: Example): string | null {
  if (name === null) return null;
  if (args === null) return name;
  return `${name}(${Array.isArray(args) ? args.map(printFlat).join(', ') : printFlat(args)})`;
}
