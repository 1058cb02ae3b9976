// What a call changed in its files, each with the way to it among the server's files.
import { useState } from 'react';
import type { FileChanges } from '../api/types';
import { plural } from '../format/units';
import { folderHref } from '../route';
import { apart, type ChangeId, changesIn, placeOf } from '../state/files';
import { useStore } from '../state/session';

const WORDS: Record<ChangeId, { title: string; sign: string }> = {
  added: { title: 'Added', sign: 'M8 3.5v9M3.5 8h9' },
  changed: { title: 'Changed', sign: 'M2.5 8c1.8-4 3.6-4 5.5 0s3.7 4 5.5 0' },
  removed: { title: 'Removed', sign: 'M3.5 8h9' },
};

interface Props {
  changes: FileChanges;
  /** The module that was called. */
  moduleRef: string;
}

export function ChangedFiles({ changes, moduleRef }: Props) {
  const parts = changesIn(changes);
  if (parts.length === 0 && changes.unnamed === 0) return null;
  return (
    <section className="block changed-files" aria-label="Files">
      <h3>Files</h3>
      {parts.map(({ id, paths }) => (
        <Part key={id} id={id} paths={paths} moduleRef={moduleRef} />
      ))}
      {changes.unnamed > 0 && (
        <p className="quiet">And {plural(changes.unnamed, 'more change')}, which are not named.</p>
      )}
    </section>
  );
}

// As many as are read at a glance.
const SHOWN_MAX = 20;

function Part({ id, paths, moduleRef }: { id: ChangeId; paths: string[]; moduleRef: string }) {
  const [all, setAll] = useState(false);
  const { title, sign } = WORDS[id];
  const shown = all ? paths : paths.slice(0, SHOWN_MAX);
  return (
    <div className={`change ${id}`}>
      <p className="change-title">
        <svg className="sign" viewBox="0 0 16 16" width="14" height="14" aria-hidden="true">
          <path d={sign} />
        </svg>
        {title} <span className="quiet">{paths.length}</span>
      </p>
      <ul aria-label={title}>
        {shown.map((path) => (
          <li key={path}>
            <Place path={path} id={id} moduleRef={moduleRef} />
          </li>
        ))}
      </ul>
      {shown.length < paths.length && (
        <button type="button" className="small" onClick={() => setAll(true)}>
          Show {plural(paths.length - shown.length, 'more path')}
        </button>
      )}
    </div>
  );
}

/** The path as the module knows it, as a link to its folder; what is removed has none in it. */
function Place({ path, id, moduleRef }: { path: string; id: ChangeId; moduleRef: string }) {
  const granted = useStore((state) => state.granted[moduleRef]);
  const place = granted?.state === 'ready' ? placeOf(granted.value.grants, path) : null;
  if (place === null) return <code>{path}</code>;
  const { folder, name } = apart(place);
  return (
    <a href={folderHref(folder, id === 'removed' ? null : name)}>
      <code>{path}</code>
    </a>
  );
}
