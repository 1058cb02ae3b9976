// How a call ended, each way in its own form.
import { useMemo } from 'react';
import type { Ending, Export, Frame, Outcome } from '../api/types';
import { Prose } from '../format/Prose';
import { amount, plural } from '../format/units';
import { printJson } from '../json/json';
import { howToRaise } from '../state/limits';
import { TextBlock } from './TextBlock';

type Of<K extends Ending['kind']> = Extract<Ending, { kind: K }>;

export function EndingView({ outcome, target }: { outcome: Outcome; target: Export['kind'] }) {
  const { ending, stdout } = outcome;
  switch (ending.kind) {
    case 'returned':
      return <Returned ending={ending} silent={stdout === ''} />;
    case 'failed':
      return <Failed ending={ending} />;
    case 'trapped':
      return <Trapped ending={ending} />;
    case 'exhausted':
      return <Exhausted ending={ending} target={target} />;
    case 'cancelled':
      return <p>The call was cancelled on the server, before it ended.</p>;
  }
}

function Returned({ ending, silent }: { ending: Of<'returned'>; silent: boolean }) {
  const text = useMemo(() => printJson(ending.value), [ending.value]);
  if (ending.value === null) {
    return <p className="quiet">{silent ? 'It ended well and returned nothing.' : 'It ended well.'}</p>;
  }
  return <TextBlock title="Value" text={text} large />;
}

function Failed({ ending }: { ending: Of<'failed'> }) {
  const { exit_code: exitCode, code, message, retryable, value } = ending;
  return (
    <>
      <div className="note warn">
        <p className="note-title">The module says that it failed</p>
        <dl className="pairs">
          {exitCode !== null && <Row name="Exit code" value={String(exitCode)} />}
          {/* Of an exit, the code is all that there is to say. */}
          {code !== '' && exitCode === null && <Row name="Code" value={code} />}
          {message !== '' && exitCode === null && <Row name="Message" value={message} />}
          {retryable && <Row name="Worth a retry" value="yes, it says" />}
        </dl>
      </div>
      {value !== undefined && value !== null && <TextBlock title="Error value" text={printJson(value)} />}
    </>
  );
}

function Row({ name, value }: { name: string; value: string }) {
  return (
    <>
      <dt>{name}</dt>
      <dd>{value}</dd>
    </>
  );
}

function Trapped({ ending }: { ending: Of<'trapped'> }) {
  return (
    <>
      <div className="note bad">
        <p className="note-title">
          <Prose text={ending.message} />
        </p>
        <p>
          The engine stopped the module: <code>{ending.code}</code>. Nothing outside of it was harmed.
        </p>
      </div>
      {ending.backtrace.length > 0 && <Backtrace frames={ending.backtrace} />}
    </>
  );
}

// Endless recursion makes thousands of frames, all alike.
const FRAMES_SHOWN_MAX = 50;

function Backtrace({ frames }: { frames: Frame[] }) {
  return (
    <section className="block" aria-label="Backtrace">
      <table className="backtrace">
        <caption>Backtrace, innermost first</caption>
        <thead>
          <tr>
            <th scope="col">#</th>
            <th scope="col">Function</th>
            <th scope="col">Offset in the code</th>
          </tr>
        </thead>
        <tbody>
          {frames.slice(0, FRAMES_SHOWN_MAX).map((frame, at) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: a frame is its place in the stack
            <tr key={at}>
              <td>{at}</td>
              <td>
                <code>{frame.function ?? 'unnamed'}</code>
              </td>
              <td>
                <code>{frame.offset === null ? '–' : `0x${frame.offset.toString(16)}`}</code>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      {frames.length > FRAMES_SHOWN_MAX && (
        <p className="quiet">{plural(frames.length - FRAMES_SHOWN_MAX, 'more frame')}</p>
      )}
    </section>
  );
}

function Exhausted({ ending, target }: { ending: Of<'exhausted'>; target: Export['kind'] }) {
  const { id, advice } = howToRaise(ending.limit, target);
  const open = () => {
    const field = document.querySelector<HTMLElement>(`[data-limit="${id}"]`);
    field?.closest('details')?.setAttribute('open', '');
    field?.focus();
  };
  return (
    <div className="note limit">
      <p className="note-title">
        It met its limit: <code>{ending.limit}</code>
      </p>
      <p>
        Allowed were {amount(ending.allowed, ending.unit)}. <Prose text={advice} />
      </p>
      {id !== null && (
        <button type="button" className="small" onClick={open}>
          Change this limit
        </button>
      )}
    </div>
  );
}
