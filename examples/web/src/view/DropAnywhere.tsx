// Files may be dropped on any part of the page; while they are dragged over it, the page says so.
import { useEffect, useRef, useState } from 'react';

interface Props {
  /** What becomes of them. */
  text: string;
  onFiles: (files: File[]) => void;
}

export function DropAnywhere({ text, onFiles }: Props) {
  const [over, setOver] = useState(false);
  // What becomes of them may change while something is dragged.
  const take = useRef(onFiles);
  take.current = onFiles;

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
      take.current([...(event.dataTransfer?.files ?? [])]);
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
  }, []);

  return over ? (
    <div className="drop-over" aria-hidden="true">
      <p>{text}</p>
    </div>
  ) : null;
}
