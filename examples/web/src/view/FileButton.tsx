// Chooses files from the disk, modules where nobody says otherwise; looks like a button, is the browser's own file field.
import type { ChangeEvent } from 'react';
import { useSession } from '../state/session';

interface Props {
  children: string;
  className: string;
  /** Takes one file, for a purpose of its own; without it any number of them is added. */
  onFiles?: (files: File[]) => void;
  /** Any files, as many as one likes. */
  any?: boolean;
}

export function FileButton({ children, className, onFiles, any = false }: Props) {
  const session = useSession();
  const choose = (event: ChangeEvent<HTMLInputElement>) => {
    const files = [...(event.target.files ?? [])];
    if (onFiles) onFiles(files);
    else void session.addFiles(files);
    // The same file may be chosen again, once it has been rebuilt.
    event.target.value = '';
  };
  return (
    <label className={`button file ${className}`}>
      {children}
      <input
        type="file"
        multiple={any || onFiles === undefined}
        accept={any ? undefined : '.wasm,.wat,application/wasm'}
        className="hidden"
        onChange={choose}
      />
    </label>
  );
}
