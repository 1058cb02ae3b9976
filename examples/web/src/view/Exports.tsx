// What a module exports, each with its types; those that can be called are links. A module may have tens of thousands:
// a filter, and a bound on what is shown.
import { useState } from 'react';
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
}: {
  moduleRef: string;
  all: Export[];
  current: string | null;
}) {
  const [filter, setFilter] = useState('');
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
      <ul className="exports">
        {shown.map((one) => (
          <li key={one.name}>
            <ExportRow one={one} moduleRef={moduleRef} current={one.name === current} />
          </li>
        ))}
      </ul>
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
        <code>{one.name}</code>
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

const SPECIAL = {
  command: 'command: arguments, stdin → exit code',
  http: 'HTTP handler: request → response',
};

export function Signature({ of: one }: { of: Export }) {
  if (one.kind === 'command' || one.kind === 'http') {
    return (
      <code>
        <b>{one.name}</b> <span className="type">{SPECIAL[one.kind]}</span>
      </code>
    );
  }
  if (one.kind === 'unsupported') return <code>{one.name}</code>;
  return (
    <code>
      <b>{one.name}</b>(
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
