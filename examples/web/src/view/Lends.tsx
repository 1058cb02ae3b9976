// What this server can lend: each capability with what a grant for it takes, from the schema of grants, and the names of
// the secrets that may be lent.
import type { Capability, GrantField, Lending, Module } from '../api/types';
import { Prose } from '../format/Prose';
import { printFlat } from '../json/json';
import { exampleOf, printGrants } from '../state/grants';
import { useSession, useStore } from '../state/session';
import { ProblemNote } from './ProblemNote';

export function Lends({ module }: { module: Module }) {
  const session = useSession();
  const lending = useStore((state) => state.lending);
  if (lending === null || lending.state === 'loading') return <p className="quiet">Asking what there is…</p>;
  if (lending.state === 'failed') {
    return (
      <ProblemNote problem={lending.problem} title="What can be granted is not known">
        <button type="button" className="small" onClick={() => void session.granting.open(module)}>
          Ask again
        </button>
      </ProblemNote>
    );
  }
  const { capabilities } = lending.value;
  return (
    <section className="lends" aria-labelledby="lends-title">
      <h3 id="lends-title">What can be granted here</h3>
      {capabilities.length === 0 && <p className="quiet">This server lends nothing.</p>}
      {capabilities.map((capability) => (
        <CapabilityView key={capability.id} capability={capability} lending={lending.value} module={module} />
      ))}
    </section>
  );
}

interface CapabilityProps {
  capability: Capability;
  lending: Lending;
  module: Module;
}

function CapabilityView({ capability, lending, module }: CapabilityProps) {
  const session = useSession();
  const { id, about, fields } = capability;
  const [first, ...more] = about.split('\n');
  const put = () => {
    session.granting.offer(module, id);
    document.querySelector<HTMLElement>('#grants textarea')?.focus();
  };
  return (
    <details className="lend" id={`lends-${id}`}>
      <summary>
        <code>{id}</code> <span className="quiet">{first}</span>
      </summary>
      <div className="lend-body">
        {more.map((paragraph) => (
          <p className="quiet" key={paragraph}>
            <Prose text={paragraph} />
          </p>
        ))}
        {lendsSecrets(capability) && <Secrets names={lending.secrets} />}
        <dl className="fields" aria-label={`Fields of ${id}`}>
          {fields.map((field) => (
            <FieldRow key={field.path} field={field} />
          ))}
        </dl>
        {/* biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, so the keyboard must reach it */}
        <pre className="grant-text" tabIndex={0}>
          {printGrants({ [id]: exampleOf(lending, id, module.name) })}
        </pre>
        <button type="button" className="small" onClick={put}>
          Put it into the grants<span className="hidden">: example of {id}</span>
        </button>
      </div>
    </details>
  );
}

function lendsSecrets({ fields }: Capability): boolean {
  return fields.some(({ path }) => path === 'secrets[].name');
}

function Secrets({ names }: { names: string[] }) {
  if (names.length === 0) {
    return (
      <p className="quiet">
        This server has no secrets to lend. It takes them from a file (<code>--secrets</code>) or from
        variables (<code>RUNNER_SECRET_NAME</code>).
      </p>
    );
  }
  return (
    <div>
      <p className="quiet">
        Secrets that may be lent, by name. The module never holds one: it writes{' '}
        <code>{'{{secret:NAME}}'}</code>.
      </p>
      <ul className="secrets" aria-label="Secrets">
        {names.map((name) => (
          <li key={name}>
            <code>{name}</code>
          </li>
        ))}
      </ul>
    </div>
  );
}

// The default of a whole group is that of its fields, which stand below it.
const DEFAULT_CHARS_MAX = 40;

function FieldRow({ field: { path, type, required, default: preset, about } }: { field: GrantField }) {
  // Many descriptions say it themselves, in rounder numbers.
  const said = preset === undefined || /\bdefault\b/i.test(about);
  const shown = said ? '' : printFlat(preset);
  return (
    <div>
      <dt>
        <code>{path}</code> <span className="type">{type}</span>{' '}
        {required && <span className="chip">required</span>}
      </dt>
      <dd className="quiet">
        <Prose text={about.replaceAll('\n', ' ')} />
        {shown !== '' && shown.length <= DEFAULT_CHARS_MAX && (
          <>
            {' '}
            Default: <code>{shown}</code>.
          </>
        )}
      </dd>
    </div>
  );
}
