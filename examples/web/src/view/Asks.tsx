// What a module asks of its host, and whether it gets it: what needs a grant first, with the words to grant it in.
import { useState } from 'react';
import type { Import, Module } from '../api/types';
import { Prose } from '../format/Prose';
import { plural } from '../format/units';
import { byWords, exampleOf, type Group, type GroupId, groupsOf, printGrants } from '../state/grants';
import { useSession, useStore } from '../state/session';
import { Fold, unfold } from './Fold';
import { Sign } from './Sign';

const GROUPS: Record<GroupId, { title: string; meaning: string }> = {
  needed: { title: 'Needs a grant', meaning: 'It cannot run until these are granted.' },
  unserved: {
    title: 'Not served here',
    meaning: 'Nothing on this server serves these, and it cannot run without.',
  },
  granted: { title: 'Granted', meaning: 'Lent to it by its grants.' },
  closed: {
    title: 'Closed',
    meaning: 'It runs without these: each use is answered with a refusal.',
  },
  provided: { title: 'Always there', meaning: 'Every module has these, without a grant.' },
};

export function Asks({ module }: { module: Module }) {
  const groups = groupsOf(module.imports);
  if (groups.length === 0)
    return <p className="quiet imports-none">Imports nothing: it can touch nothing outside itself.</p>;
  const lacking = groups.filter(({ id }) => id === 'needed' || id === 'unserved');
  const count = lacking.reduce((sum, group) => sum + group.count, 0);
  const closed = groups.find(({ id }) => id === 'closed')?.count ?? 0;
  const all = plural(module.imports.length, 'import');
  return (
    <Fold
      id="asks"
      title="What it asks for"
      hint={
        <span className={count > 0 ? 'chip bad' : 'quiet'}>
          {count > 0 ? `${count} of ${all} missing` : closed > 0 ? `${all}, ${closed} closed` : all}
        </span>
      }
      open={count > 0}
    >
      {groups.map((group) => (
        // What was granted moves to another group, which then stands as a new one does.
        <GroupView key={group.id} group={group} module={module} />
      ))}
    </Fold>
  );
}

// What nobody has to look at folds where it is long.
const ALWAYS_OPEN_MAX = 4;

function GroupView({ group: { id, parts, count }, module }: { group: Group; module: Module }) {
  const { title, meaning } = GROUPS[id];
  const [isOpen, setOpen] = useState(id !== 'provided' || count <= ALWAYS_OPEN_MAX);
  return (
    <details
      className={`ask-group ${id}`}
      open={isOpen}
      onToggle={(event) => setOpen(event.currentTarget.open)}
    >
      <summary>
        <Sign of={id} />
        <h3>{title}</h3>
        <span className="quiet">{count}</span>
      </summary>
      <p className="quiet">{meaning}</p>
      {parts.map(({ capability, imports }) => (
        <div className="ask-part" key={capability ?? ''}>
          <Names imports={imports} />
          {capability !== null && (id === 'needed' || id === 'closed') && (
            <Offer capability={capability} count={imports.length} module={module} />
          )}
        </div>
      ))}
    </details>
  );
}

// What a program in Rust asks of WASI stands in one view; more of them unfold.
const NAMES_SHOWN_MAX = 20;

function Names({ imports }: { imports: Import[] }) {
  const [all, setAll] = useState(false);
  const shown = all ? imports : imports.slice(0, NAMES_SHOWN_MAX);
  return (
    <>
      {byWords(shown).map(({ words, imports }) => (
        <div key={words}>
          {words !== '' && (
            <p className="quiet">
              <Prose text={`${words.charAt(0).toUpperCase()}${words.slice(1)}:`} />
            </p>
          )}
          <ul className="import-list">
            {imports.map((one) => (
              <li key={one.name}>
                <ImportRow one={one} />
              </li>
            ))}
          </ul>
        </div>
      ))}
      {shown.length < imports.length && (
        <button type="button" className="small" onClick={() => setAll(true)}>
          Show {plural(imports.length - shown.length, 'more import')}
        </button>
      )}
    </>
  );
}

// A core module may import thousands of functions from one name.
const ITEMS_SHOWN_MAX = 200;

function ImportRow({ one: { name, items } }: { one: Import }) {
  const [seen, setSeen] = useState(false);
  if (items.length === 0) return <code>{name}</code>;
  return (
    <details className="import" onToggle={() => setSeen(true)}>
      <summary>
        <span>
          <code>{name}</code> <span className="quiet">{plural(items.length, 'item')}</span>
        </span>
      </summary>
      {seen && (
        <ul className="import-items">
          {items.slice(0, ITEMS_SHOWN_MAX).map((item, at) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: a core module may import one name twice
            <li key={at}>
              <code>{item === '' ? '""' : item}</code>
            </li>
          ))}
          {items.length > ITEMS_SHOWN_MAX && (
            <li className="quiet">{plural(items.length - ITEMS_SHOWN_MAX, 'more item')}</li>
          )}
        </ul>
      )}
    </details>
  );
}

/** The grant that would open these, and the way to it. */
function Offer({ capability, count, module }: { capability: string; count: number; module: Module }) {
  const session = useSession();
  const lending = useStore((state) => state.lending);
  const known = lending?.state === 'ready' ? lending.value : null;
  const put = () => {
    session.granting.offer(module, capability);
    unfold('grants');
    document.querySelector<HTMLElement>('#grants textarea')?.focus();
  };
  return (
    <div className="offer">
      <p>
        Capability <code>{capability}</code> serves {count === 1 ? 'this' : 'these'}. A grant for it looks
        like this:
      </p>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, so the keyboard must reach it */}
      <pre className="grant-text" tabIndex={0}>
        {printGrants({ [capability]: exampleOf(known, capability, module.name) })}
      </pre>
      <div className="actions">
        {module.name === null ? (
          <button type="button" className="small" onClick={() => unfold('grants')}>
            Give it a name, to grant it
          </button>
        ) : (
          <>
            <button type="button" className="small" onClick={put}>
              Put it into the grants<span className="hidden">: {capability}</span>
            </button>
            <button type="button" className="small plain" onClick={() => unfold(`lends-${capability}`)}>
              What <code>{capability}</code> takes
            </button>
          </>
        )}
      </div>
    </div>
  );
}
