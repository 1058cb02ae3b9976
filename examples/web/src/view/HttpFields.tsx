// A request to the module's own HTTP handler.
import { useId } from 'react';
import type { Export } from '../api/types';
import { FaultText } from '../form/Field';
import { type CallDraft, headerFault, pathFault } from '../state/draft';
import { Pairs } from './Pairs';

const METHODS = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'HEAD', 'OPTIONS'];

interface Props {
  target: Export;
  draft: CallDraft;
  onChange: (draft: CallDraft) => void;
}

export function HttpFields({ target, draft, onChange }: Props) {
  const id = useId();
  const { http } = draft;
  const change = (part: Partial<CallDraft['http']>) => onChange({ ...draft, http: { ...http, ...part } });
  const fault = pathFault(http.path)?.message;
  const bodyless = http.method === 'GET' || http.method === 'HEAD';
  return (
    <>
      <div className="panel-head">
        <h2 id="call-title">Request</h2>
        <code className="quiet">{target.name}</code>
      </div>
      <div className="request-line">
        <div className="field">
          <label htmlFor={`${id}-method`}>Method</label>
          <select
            id={`${id}-method`}
            value={http.method}
            onChange={(event) => change({ method: event.target.value })}
          >
            {METHODS.map((method) => (
              <option key={method}>{method}</option>
            ))}
          </select>
        </div>
        <div className="field">
          <label htmlFor={`${id}-path`}>Path</label>
          <input
            id={`${id}-path`}
            type="text"
            className="mono"
            value={http.path}
            spellCheck={false}
            autoComplete="off"
            aria-invalid={fault !== undefined}
            aria-describedby={fault === undefined ? undefined : `${id}-fault`}
            onChange={(event) => change({ path: event.target.value })}
          />
          <FaultText id={`${id}-fault`} text={fault ?? null} />
        </div>
      </div>
      <Pairs
        legend="Headers"
        noun="header"
        pairs={http.headers}
        faultOf={headerFault}
        onChange={(headers) => change({ headers })}
      />
      {!bodyless && (
        <div className="field">
          <label htmlFor={`${id}-body`}>Body</label>
          <textarea
            id={`${id}-body`}
            className="grow mono"
            rows={3}
            spellCheck={false}
            value={http.body}
            onChange={(event) => change({ body: event.target.value })}
          />
        </div>
      )}
    </>
  );
}
