// Where the server is, and the token it may want. A native dialog: it traps the focus and closes on Escape by itself.
import { type FormEvent, useEffect, useRef, useState } from 'react';
import type { Server } from '../api/client';
import { useStore } from '../state/session';
import { defaultAddress, parseAddress } from '../state/settings';

interface Props {
  server: Server;
  onClose: () => void;
  onSave: (server: Server) => void;
}

export function ServerDialog({ server, onClose, onSave }: Props) {
  const dialog = useRef<HTMLDialogElement>(null);
  const tokenField = useRef<HTMLInputElement>(null);
  const [address, setAddress] = useState(server.address);
  const [token, setToken] = useState(server.token);
  const [tried, setTried] = useState(false);
  const health = useStore((state) => state.health);
  const parsed = parseAddress(address === '' ? defaultAddress() : address);
  const wrong = tried && parsed === null;
  // Anything else cannot stand in a header, and no server has it.
  const odd = !/^[\x21-\x7e]*$/.test(token.trim());
  const wanted = useStore(
    ({ listing }) => listing.state === 'failed' && listing.problem.kind === 'unauthorized',
  );

  useEffect(() => {
    if (!dialog.current?.open) dialog.current?.showModal();
    if (wanted) tokenField.current?.focus();
  }, [wanted]);

  const save = (event: FormEvent) => {
    event.preventDefault();
    setTried(true);
    if (parsed === null || odd) return;
    // Closed before it goes away, so that the focus returns to where it was.
    dialog.current?.close();
    onSave({ address: parsed, token: token.trim() });
  };

  return (
    <dialog ref={dialog} onClose={onClose} aria-labelledby="server-title" className="server-dialog">
      <form onSubmit={save}>
        <h2 id="server-title">Server</h2>
        {health.state === 'failed' && (
          <p className="fault">
            {health.problem.title}. {health.problem.advice}
          </p>
        )}
        {health.state === 'ready' && (
          <p className="quiet">
            Runner {health.value.version} answers at {server.address}
            {wanted && (server.token === '' ? ', and wants a token' : ', and does not take this token')}.
          </p>
        )}
        <div className="field">
          <label htmlFor="server-address">Address</label>
          <input
            id="server-address"
            type="text"
            inputMode="url"
            value={address}
            placeholder={defaultAddress()}
            spellCheck={false}
            autoComplete="url"
            aria-invalid={wrong}
            aria-describedby={wrong ? 'server-fault' : undefined}
            onChange={(event) => setAddress(event.target.value)}
          />
          {wrong && (
            <p className="fault" id="server-fault">
              An address such as http://127.0.0.1:8080.
            </p>
          )}
        </div>
        <div className="field">
          <label htmlFor="server-token">Token</label>
          <input
            id="server-token"
            type="password"
            ref={tokenField}
            value={token}
            autoComplete="off"
            aria-invalid={odd}
            aria-describedby="server-token-about"
            onChange={(event) => setToken(event.target.value)}
          />
          <p className={odd ? 'fault' : 'quiet'} id="server-token-about">
            {odd
              ? 'A token has letters, digits and signs of ASCII, without spaces.'
              : 'Only if the server wants one. Kept in this tab alone, until it is closed.'}
          </p>
        </div>
        <div className="actions">
          <button type="button" onClick={() => dialog.current?.close()}>
            Close
          </button>
          <button type="submit" className="primary">
            Use this server
          </button>
        </div>
      </form>
    </dialog>
  );
}
