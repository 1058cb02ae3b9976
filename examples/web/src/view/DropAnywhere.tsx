// Files may be dropped on any part of the page; while they are dragged over it, the page says so.
import { useEffect, useState } from 'react';
import { useSession } from '../state/session';

export function DropAnywhere() {
  const session = useSession();
  const [over, setOver] = useState(false);

  useEffect(() => {
    // `dragleave` also comes when the pointer moves from one element to the next: count them.
    let depth = 0;
    const carriesFiles = (event: DragEvent) => event.dataTransfer?.types.includes('Files') === true;
    const enter = (event: DragEvent) => {
      if (!carriesFiles(event)) return;
      depth += 1;
      setOver(true);
    };
    const leave = () => {
      depth = Math.max(0, depth - 1);
      if (depth === 0) setOver(false);
    };
    const hover = (event: DragEvent) => {
      if (carriesFiles(event)) event.preventDefault();
    };
    const drop = (event: DragEvent) => {
      if (!carriesFiles(event)) return;
      event.preventDefault();
      depth = 0;
      setOver(false);
      void session.addFiles([...(event.dataTransfer?.files ?? [])]);
    };
    addEventListener('dragenter', enter);
    addEventListener('dragleave', leave);
    addEventListener('dragover', hover);
    addEventListener('drop', drop);
    return () => {
      removeEventListener('dragenter', enter);
      removeEventListener('dragleave', leave);
      removeEventListener('dragover', hover);
      removeEventListener('drop', drop);
    };
  }, [session]);

  return over ? (
    <div className="drop-over" aria-hidden="true">
      <p>Drop to add the modules</p>
    </div>
  ) : null;
}
