// What a module asks of its host, and whether it gets it. What is missing stands open: the module cannot run without.
import type { Import, ImportStatus } from '../api/types';
import { Prose } from '../format/Prose';
import { plural } from '../format/units';
import { printFlat } from '../json/json';

const MEANING: Record<ImportStatus, string> = {
  provided: 'the host always gives it',
  granted: 'granted to this module',
  closed: 'linked, but answers “denied”',
  missing: 'not granted: the module cannot run until it is',
};

export function Imports({ all }: { all: Import[] }) {
  const missing = all.filter(({ status }) => status === 'missing');
  if (all.length === 0)
    return <p className="quiet imports-none">Imports nothing: it can touch nothing outside itself.</p>;
  return (
    <details className="panel imports" open={missing.length > 0}>
      <summary>
        <h2>Imports</h2>
        <span className={missing.length > 0 ? 'chip bad' : 'quiet'}>
          {missing.length > 0 ? `${missing.length} of ${all.length} missing` : plural(all.length, 'import')}
        </span>
      </summary>
      <ul className="import-list">
        {all.map((one) => (
          <li key={one.name}>
            <code>{one.name}</code>
            <span className={`chip ${one.status}`} title={MEANING[one.status]}>
              {one.status}
            </span>
            <p className="quiet">
              <Prose text={one.about === '' ? MEANING[one.status] : one.about} />
            </p>
            {one.grant !== null && (
              <p className="quiet">
                Grant: <code>{printFlat(one.grant)}</code>
              </p>
            )}
          </li>
        ))}
      </ul>
    </details>
  );
}
