// The modules that the server has, newest of this visit first, the examples, and the way to its files. Links: which one is in
// view stands in the address.
import { bytes, shortId } from '../format/units';
import { folderHref, hrefOf } from '../route';
import { useSession, useStore } from '../state/session';
import { labelOf, refOf } from '../state/store';
import { FileButton } from './FileButton';
import { ProblemNote } from './ProblemNote';
import { Uploads } from './Uploads';

interface Props {
  /** The module in view. */
  current: string | null;
  /** The server's files are. */
  files: boolean;
}

export function Sidebar({ current, files }: Props) {
  // The first view has them itself.
  const elsewhere = current !== null || files;
  return (
    <nav className="side" aria-label="Modules">
      <div className="side-head">
        <h2>Modules</h2>
        <FileButton className="small">Add files</FileButton>
      </div>
      {elsewhere && <Uploads />}
      <ModuleLinks current={current} />
      {elsewhere && <ExampleButtons />}
      <div className="links">
        <a className="side-files" href={folderHref('')} aria-current={files ? 'page' : undefined}>
          <span className="link-name">Files</span>
          <span className="link-about">what modules keep</span>
        </a>
      </div>
    </nav>
  );
}

function ModuleLinks({ current }: { current: string | null }) {
  const session = useSession();
  const state = useStore((all) => all);
  const { modules, listing } = state;
  return (
    <>
      <ul className="links">
        {modules.map((module) => {
          const ref = refOf(module);
          return (
            <li key={ref}>
              <a href={hrefOf(ref)} aria-current={ref === current ? 'page' : undefined}>
                <span className="link-name">{labelOf(state, module)}</span>
                <span className="link-about">
                  {module.kind} · {bytes(module.size_bytes)}
                  {module.id in state.labels && ` · ${shortId(module.id).replace('sha256:', '')}`}
                </span>
              </a>
            </li>
          );
        })}
      </ul>
      {listing.state === 'failed' && (
        <ProblemNote problem={listing.problem}>
          <button type="button" className="small" onClick={() => void session.loadModules(true)}>
            Try again
          </button>
        </ProblemNote>
      )}
      {listing.state === 'ready' && listing.value.next !== null && (
        <button type="button" className="small" onClick={() => void session.loadModules(false)}>
          Show more modules
        </button>
      )}
    </>
  );
}

function ExampleButtons() {
  const session = useSession();
  const examples = useStore((state) => state.examples);
  if (examples.state !== 'ready' || examples.value.length === 0) return null;
  return (
    <details className="side-examples">
      <summary>Examples</summary>
      <ul className="links">
        {examples.value.map((example) => (
          <li key={example.file}>
            <button type="button" className="link" onClick={() => void session.addExample(example)}>
              <span className="link-name">{example.title}</span>
              <span className="link-about">{example.file}</span>
            </button>
          </li>
        ))}
      </ul>
    </details>
  );
}
