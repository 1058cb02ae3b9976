// The server's files: one directory with the way to it, what is in it, and what can be done there. Files that are dropped
// on the page go into it.
import { useEffect, useRef } from 'react';
import { Prose } from '../format/Prose';
import { plural } from '../format/units';
import { type FolderRoute, folderHref } from '../route';
import { apart, crumbsOf, type Folder } from '../state/files';
import { useSession, useStore } from '../state/session';
import { FileButton } from './FileButton';
import { FileTable } from './FileTable';
import { FileWorks } from './FileWorks';
import { FolderForm } from './FolderForm';
import { ProblemNote } from './ProblemNote';

export function FilesView({ route }: { route: FolderRoute }) {
  const session = useSession();
  const { path } = route;
  const folder = useStore((state) => (state.folder?.path === path ? state.folder : null));
  const title = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    void session.browsing.open(path);
  }, [session, path]);
  const name = crumbsOf(path).at(-1)?.name ?? 'Files';
  useEffect(() => {
    document.title = `${name} · Runner`;
    return () => {
      document.title = 'Runner';
    };
  }, [name]);
  return (
    <div className="files">
      <div className="files-head">
        <div>
          <Crumbs path={path} />
          <h1 ref={title} tabIndex={-1}>
            {name}
          </h1>
        </div>
        <div className="actions">
          <FolderForm key={path} path={path} entries={folder?.entries ?? []} />
          <FileButton className="primary" any onFiles={(files) => void session.browsing.upload(path, files)}>
            Upload
          </FileButton>
        </div>
      </div>
      <FileWorks path={path} />
      <section className="panel" aria-label={`Entries of ${name}`}>
        {folder !== null && (
          <Entries folder={folder} name={route.name} onGone={() => title.current?.focus()} />
        )}
      </section>
      <p className="quiet">
        <Prose text="What modules keep that are granted `fs`, each below the prefix of its grant. Files can be dropped anywhere here." />
      </p>
    </div>
  );
}

/** The way from the root; nothing at the root itself. */
function Crumbs({ path }: { path: string }) {
  const crumbs = crumbsOf(path);
  if (crumbs.length === 0) return null;
  return (
    <nav aria-label="The way to this folder">
      <ol className="crumbs">
        <li>
          <a href={folderHref('')}>Files</a>
        </li>
        {crumbs.map((crumb, at) => (
          <li key={crumb.path}>
            {at === crumbs.length - 1 ? (
              <span aria-current="page">{crumb.name}</span>
            ) : (
              <a href={folderHref(crumb.path)}>{crumb.name}</a>
            )}
          </li>
        ))}
      </ol>
    </nav>
  );
}

function Entries({ folder, name, onGone }: { folder: Folder; name: string | null; onGone: () => void }) {
  const session = useSession();
  const { path, entries, listing } = folder;
  return (
    <>
      {listing.state === 'failed' && (
        <ProblemNote problem={listing.problem} title="This folder cannot be shown">
          <button type="button" className="small" onClick={() => void session.browsing.open(path)}>
            Try again
          </button>
          {path !== '' && <a href={folderHref(apart(path).folder)}>Go to the folder above</a>}
        </ProblemNote>
      )}
      {entries.length > 0 && <FileTable path={path} entries={entries} name={name} onGone={onGone} />}
      {entries.length === 0 && listing.state === 'loading' && <p className="quiet">Loading the folder…</p>}
      {entries.length === 0 && listing.state === 'ready' && (
        <div className="files-empty">
          <p>Nothing is here yet.</p>
          <p className="quiet">Drop files on this page, upload them, or run a module that writes some.</p>
        </div>
      )}
      {entries.length > 0 && (
        <p className="quiet files-count">
          {plural(entries.length, 'entry', 'entries')}
          {listing.state === 'loading' && ', loading…'}
          {listing.state === 'ready' && listing.value.next !== null && (
            <>
              {' '}
              and more{' '}
              <button type="button" className="small" onClick={() => void session.browsing.more()}>
                Show more entries
              </button>
            </>
          )}
        </p>
      )}
    </>
  );
}
