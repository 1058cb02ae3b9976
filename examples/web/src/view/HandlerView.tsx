// The response of a module's HTTP handler.
import type { HandlerResponse } from '../api/types';
import { bytes } from '../format/units';
import { TextBlock } from './TextBlock';

const SHORT_OF = {
  cut: 'The body is longer; this page reads no more than that.',
  broken: 'The body broke off: the handler stopped in the middle of it, or met its deadline.',
};

export function HandlerView({ response }: { response: HandlerResponse }) {
  const { status, statusText, headers, body, end, redirectedTo } = response;
  const text = asText(body);
  return (
    <>
      <p className="status-line">
        <b>{status}</b> {statusText} <span className="quiet">{bytes(body.length)}</span>
      </p>
      {redirectedTo !== null && (
        <p className="note warn">
          The handler sent the browser on. This is the answer from <code>{redirectedTo}</code>
        </p>
      )}
      {end !== 'whole' && <p className="note warn">{SHORT_OF[end]}</p>}
      {body.length > 0 &&
        (text === null ? (
          <p className="quiet">The body is not text.</p>
        ) : (
          <TextBlock title="Body" text={text} />
        ))}
      <table className="usage">
        <caption>Headers</caption>
        <tbody>
          {headers.map(([name, value]) => (
            <tr key={name}>
              <th scope="row">{name}</th>
              <td>{value}</td>
            </tr>
          ))}
        </tbody>
      </table>
      <p className="quiet">
        Headers are those that the browser lets this page read. The time is as this page saw it.
      </p>
    </>
  );
}

function asText(body: Uint8Array): string | null {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(body);
  } catch {
    return null;
  }
}
