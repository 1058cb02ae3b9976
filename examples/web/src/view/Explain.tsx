// The module as plain text, to be copied: what `explain` of the library prints.
import { useMemo } from 'react';
import type { Module } from '../api/types';
import { explain } from '../state/explain';
import { Fold } from './Fold';
import { TextBlock } from './TextBlock';

export function Explain({ module }: { module: Module }) {
  return (
    <Fold
      id="explain"
      title="Explain"
      hint={<span className="quiet">all of it as text, to copy</span>}
      open={false}
      late
    >
      <Text module={module} />
    </Fold>
  );
}

function Text({ module }: { module: Module }) {
  const text = useMemo(() => explain(module), [module]);
  return <TextBlock title="Explanation" text={text} />;
}
