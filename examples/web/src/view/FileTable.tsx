// What is in a directory: names with size and time, and what can be done with each.
import { useEffect, useRef } from 'react';
import type { FileEntry } from '../api/types';
import { bytes, day } from '../format/units';
import { folderHref } from '../route';
import { pathIn } from '../state/files';
import { useSession } from '../state/session';
import { AskTwice } from './AskTwice';
import { comeTo } from './comeTo';
import { keep } from './keep';

interface Props {
  path: string;
  entries: FileEntry[];
  /** The one that is looked for. */
  name: string | null;
  /** Something was deleted, and the focus with it. */
  onGone: () => void;
}

export function FileTable({ path, entries, name, onGone }: Props) {
  const sought = useRef<HTMLTableRowElement>(null);
  const found = entries.some((entry) => entry.name === name);
  useEffect(() => {
    if (found) comeTo(sought.current);
  }, [found]);
  return (
    <table className="file-table">
      <caption className="hidden">Files and folders</caption>
      <thead>
        <tr>
          <th scope="col">Name</th>
          <th scope="col" className="file-size">
            Size
          </th>
          <th scope="col" className="file-time">
            Changed
          </th>
          <th scope="col">
            <span className="hidden">What can be done</span>
          </th>
        </tr>
      </thead>
      <tbody>
        {entries.map((entry) => {
          const isSought = entry.name === name;
          return (
            <tr key={entry.name} ref={isSought ? sought : null} aria-current={isSought ? 'true' : undefined}>
              <th scope="row">
                <Name path={path} entry={entry} />
              </th>
              <td className="file-size">
                {entry.kind === 'file' && entry.size !== null && bytes(entry.size)}
              </td>
              <td className="file-time">{day(entry.modified_ms)}</td>
              <td className="file-actions">
                <Actions path={path} entry={entry} onGone={onGone} />
              </td>
            </tr>
          );
        })}
      </tbody>
    </table>
  );
}

const CHIPS: Record<FileEntry['kind'], string | null> = {
  file: null,
  directory: null,
  symlink: 'link',
  other: 'no file',
};

function Name({ path, entry: { name, kind } }: { path: string; entry: FileEntry }) {
  const chip = CHIPS[kind];
  if (kind === 'directory') {
    return (
      <a className="file-name" href={folderHref(pathIn(path, name))}>
        <Sign kind={kind} />
        <bdi>{name}</bdi>
        <span className="hidden">, folder</span>
      </a>
    );
  }
  return (
    <span className="file-name">
      <Sign kind={kind} />
      <bdi>{name}</bdi>
      {chip !== null && <span className="chip">{chip}</span>}
    </span>
  );
}

const PATHS: Record<FileEntry['kind'], string> = {
  file: 'M4 1.8h5.2L12 4.6v9.6H4zM9 2v2.8h2.8',
  directory: 'M1.8 3.6h4.4l1.4 1.7h6.6v7.6H1.8z',
  symlink: 'M4 12 11.6 4.4M6.4 4.2h5.4v5.4',
  other: 'M3 3h10v10H3zM3 3l10 10',
};

function Sign({ kind }: { kind: FileEntry['kind'] }) {
  return (
    <svg className={`sign ${kind}`} viewBox="0 0 16 16" width="16" height="16" aria-hidden="true">
      <path d={PATHS[kind]} />
    </svg>
  );
}

function Actions({ path, entry, onGone }: Pick<Props, 'path' | 'onGone'> & { entry: FileEntry }) {
  const session = useSession();
  const { name, kind } = entry;
  const download = async () => {
    const file = await session.browsing.download(path, entry);
    if (file !== null) keep(file, name);
  };
  const remove = async () => {
    onGone();
    await session.browsing.remove(path, entry);
  };
  return (
    <>
      {kind === 'file' && (
        <button type="button" className="small plain" onClick={() => void download()}>
          Download<span className="hidden"> {name}</span>
        </button>
      )}
      <AskTwice
        text="Delete"
        about={name}
        sure={kind === 'directory' ? 'Delete all of it' : 'Delete it'}
        onSure={() => void remove()}
      />
    </>
  );
}
