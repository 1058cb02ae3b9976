// What a module was granted, and the way to grant more: to the bytes of one name. Bytes without a name are given one
// first; new bytes under a name start without grants, until somebody confirms those of the old ones.
import { Fragment, type RefObject, useEffect, useRef, useState } from 'react';
import type { Problem } from '../api/problem';
import type { Granted, Module } from '../api/types';
import { Prose } from '../format/Prose';
import { day } from '../format/units';
import { needsGrant, printGrants } from '../state/grants';
import { useSession, useStore } from '../state/session';
import { refOf } from '../state/store';
import { AskTwice } from './AskTwice';
import { Fold } from './Fold';
import { GrantEditor } from './GrantEditor';
import { Lends } from './Lends';
import { NameForm } from './NameForm';
import { ProblemNote } from './ProblemNote';

export function Grants({ module, fn }: { module: Module; fn: string | null }) {
  const session = useSession();
  const granted = useStore((state) => state.granted[refOf(module)]);
  useEffect(() => {
    void session.granting.open(module);
  }, [session, module]);
  if (module.name === null) {
    if (module.imports.length === 0) return null;
    return (
      <Fold
        id="grants"
        title="Grants"
        hint={<span className="quiet">none: it has no name</span>}
        open={needsGrant(module)}
      >
        <NameForm module={module} fn={fn} />
      </Fold>
    );
  }
  if (granted === undefined || granted.state === 'loading') return null;
  if (granted.state === 'failed') {
    return (
      <ProblemNote problem={granted.problem}>
        <button type="button" className="small" onClick={() => void session.granting.open(module)}>
          Ask again
        </button>
      </ProblemNote>
    );
  }
  return <Named module={module} granted={granted.value} />;
}

function Named({ module, granted }: { module: Module; granted: Granted }) {
  const ids = Object.keys(granted.grants);
  const drafted = useStore((state) => state.grantDrafts[refOf(module)] !== undefined);
  const status = useRef<HTMLParagraphElement>(null);
  // A module that asks for nothing has no use for grants; it may have some all the same.
  if (module.imports.length === 0 && ids.length === 0) return null;
  return (
    <Fold
      id="grants"
      title="Grants"
      hint={
        ids.length === 0 ? (
          <span className="quiet">nothing is granted</span>
        ) : (
          ids.map((id) => (
            <span className={id in granted.broken ? 'chip missing' : 'chip granted'} key={id}>
              {id}
            </span>
          ))
        )
      }
      open={needsGrant(module) || granted.before !== null || drafted}
    >
      <Status granted={granted} status={status} />
      {granted.before !== null && (
        <Confirm module={module} granted={granted} before={granted.before} status={status} />
      )}
      <GrantEditor module={module} granted={granted} onDone={() => status.current?.focus()}>
        {ids.length > 0 && <TakeBack module={module} status={status} />}
      </GrantEditor>
      <Lends module={module} />
    </Fold>
  );
}

type StatusRef = RefObject<HTMLParagraphElement | null>;

/** Has the focus when what was pressed is gone. */
function Status({ granted, status }: { granted: Granted; status: StatusRef }) {
  const { name, version, since, grants, broken } = granted;
  const when = since === null ? '' : day(since);
  return (
    <p ref={status} tabIndex={-1} className="grant-status">
      {Object.keys(grants).length === 0 ? (
        <>
          Nothing is granted to version {version} of <code>{name}</code>.
        </>
      ) : (
        <>
          Granted to version {version} of <code>{name}</code>
          {when !== '' && `, since ${when}`}.
          {Object.entries(broken).map(([id, why]) => (
            <Fragment key={id}>
              {' '}
              <strong>
                <code>{id}</code> does not hold any more:
              </strong>{' '}
              <Prose text={`${why}.`} />
            </Fragment>
          ))}
        </>
      )}
    </p>
  );
}

interface ConfirmProps {
  module: Module;
  granted: Granted;
  before: NonNullable<Granted['before']>;
  status: StatusRef;
}

function Confirm({ module, granted, before, status }: ConfirmProps) {
  const session = useSession();
  const [problem, setProblem] = useState<Problem | null>(null);
  const confirm = async () => {
    setProblem(await session.granting.confirm(module, before.grants));
    status.current?.focus();
  };
  const edit = () => {
    session.granting.edit(module, printGrants(before.grants));
    document.querySelector<HTMLElement>('#grants textarea')?.focus();
  };
  return (
    <div className="note warn">
      <p className="note-title">
        Version {granted.version} has other bytes than version {before.version}, which was granted:
      </p>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, so the keyboard must reach it */}
      <pre className="grant-text" tabIndex={0}>
        {printGrants(before.grants)}
      </pre>
      <p>New bytes start without. Grant them the same if you trust them as well.</p>
      <div className="actions">
        <button type="button" className="small primary" onClick={() => void confirm()}>
          Grant the same to version {granted.version}
        </button>
        <button type="button" className="small" onClick={edit}>
          Change it first
        </button>
      </div>
      {problem !== null && <ProblemNote problem={problem} title="Not granted" />}
    </div>
  );
}

function TakeBack({ module, status }: { module: Module; status: StatusRef }) {
  const session = useSession();
  const [problem, setProblem] = useState<Problem | null>(null);
  const takeBack = async () => {
    setProblem(await session.granting.takeBack(module));
    status.current?.focus();
  };
  return (
    <>
      <AskTwice
        text="Take back all"
        about={`that ${refOf(module)} is granted`}
        sure="Take back all of it"
        className="danger"
        onSure={() => void takeBack()}
      />
      {problem !== null && <ProblemNote problem={problem} title="Not taken back" />}
    </>
  );
}
