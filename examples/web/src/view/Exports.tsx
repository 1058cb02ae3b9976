// What a module exports, each with its types; those that can be called are links. A module may have tens of thousands:
// a filter, and a bound on what is shown.
import { useEffect, useRef, useState } from 'react';
import type { Export } from '../api/types';
import { Prose } from '../format/Prose';
import { plural } from '../format/units';
import { hrefOf } from '../route';

const FILTER_FROM = 9;
const SHOWN_MAX = 100;

export function Exports({
  moduleRef,
  all,
  current,
  schemasLeftOut,
}: {
  moduleRef: string;
  all: Export[];
  current: string | null;
  schemasLeftOut: number;
}) {
  const [filter, setFilter] = useState('');
  const list = useRef<HTMLUListElement>(null);
  // biome-ignore lint/correctness/useExhaustiveDependencies: only when another export is chosen
  useEffect(() => {
    const row = list.current?.querySelector<HTMLElement>('[aria-current]');
    if (!list.current || !row) return;
    const [box, place] = [list.current.getBoundingClientRect(), row.getBoundingClientRect()];
    // Within the list only: the page itself stays where it is.
    if (place.top < box.top || place.bottom > box.bottom) list.current.scrollTop += place.top - box.top;
  }, [current]);
  const found = all.filter(({ name }) => name.toLowerCase().includes(filter.trim().toLowerCase()));
  const shown = found.slice(0, SHOWN_MAX);
  return (
    <section className="panel" aria-labelledby="exports-title">
      <div className="panel-head">
        <h2 id="exports-title">Exports</h2>
        <span className="quiet">{all.length}</span>
      </div>
      {all.length === 0 && <p className="quiet">This module exports nothing that can be called.</p>}
      {all.length >= FILTER_FROM && (
        <input
          type="search"
          aria-label="Filter exports by name"
          placeholder="Filter by name"
          value={filter}
          onChange={(event) => setFilter(event.target.value)}
        />
      )}
      {shown.length > 0 && (
        <ul className="exports" ref={list}>
          {shown.map((one) => (
            <li key={one.name}>
              <ExportRow one={one} moduleRef={moduleRef} current={one.name === current} />
            </li>
          ))}
        </ul>
      )}
      {shown.length === 0 && all.length > 0 && <p className="quiet">None has this in its name.</p>}
      {schemasLeftOut > 0 && (
        <p className="quiet">
          The types of this module are too many to send: {plural(schemasLeftOut, 'function')} take arguments
          as JSON, without a form.
        </p>
      )}
      {found.length > shown.length && (
        <p className="quiet">
          {plural(found.length - shown.length, 'more export')}: narrow them down by name.
        </p>
      )}
    </section>
  );
}

function ExportRow({ one, moduleRef, current }: { one: Export; moduleRef: string; current: boolean }) {
  if (one.kind === 'unsupported') {
    return (
      <div className="export dim">
        <code>{shownName(one.name)}</code>
        <p className="quiet">
          Cannot be called: <Prose text={one.reason} />
        </p>
      </div>
    );
  }
  return (
    <a className="export" href={hrefOf(moduleRef, one.name)} aria-current={current ? 'true' : undefined}>
      <Signature of={one} />
    </a>
  );
}

/** A name may be no letter at all. */
export function shownName(name: string): string {
  return name === '' ? '""' : name;
}

const SPECIAL = {
  command: 'command: arguments, stdin → exit code',
  http: 'HTTP handler: request → response',
};

function Signature({ of: one }: { of: Exclude<Export, { kind: 'unsupported' }> }) {
  if (one.kind === 'command' || one.kind === 'http') {
    return (
      <code>
        <b>{shownName(one.name)}</b> <span className="type">{SPECIAL[one.kind]}</span>
      </code>
    );
  }
  return (
    <code>
      <b>{shownName(one.name)}</b>(
      {one.params.map(({ name, type }, at) => (
        <span key={name}>
          {at > 0 && ', '}
          {name}: <span className="type">{type}</span>
        </span>
      ))}
      ){one.result && ' → '}
      {one.result && <span className="type">{one.result.type}</span>}
    </code>
  );
}
