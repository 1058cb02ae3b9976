// Chooses modules from the disk; looks like a button, is the browser's own file field.
import type { ChangeEvent } from 'react';
import { useSession } from '../state/session';

export function FileButton({ children, className }: { children: string; className: string }) {
  const session = useSession();
  const choose = (event: ChangeEvent<HTMLInputElement>) => {
    void session.addFiles([...(event.target.files ?? [])]);
    // The same file may be chosen again, once it has been rebuilt.
    event.target.value = '';
  };
  return (
    <label className={`button file ${className}`}>
      {children}
      <input type="file" multiple accept=".wasm,.wat,application/wasm" className="hidden" onChange={choose} />
    </label>
  );
}
