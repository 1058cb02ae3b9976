// A module as plain text, to be copied into a letter or an issue: in the words of the library, whose `Explanation` is
// written in the same way (`runner-core/src/executor.rs`). Pure.
import type { Export, Import, Module } from '../api/types';

export function explain(module: Module): string {
  const exports = module.exports.map((one) => `  export ${exportLine(one, module.kind)}`);
  const imports = module.imports.map((one) => `  import ${importLine(one)}`);
  return `${[`${module.kind} ${module.id}`, ...exports, ...imports].join('\n')}\n`;
}

function exportLine(one: Export, kind: string): string {
  switch (one.kind) {
    case 'function': {
      const params = one.params.map(({ name, type }) => `${name}: ${type}`).join(', ');
      const result = one.result === null ? '' : ` -> ${resultType(one.result.type, kind)}`;
      return `${one.name}: func(${params})${result}`;
    }
    case 'command':
      return `${one.name}: command`;
    case 'http':
      return `${one.name}: http handler`;
    case 'unsupported':
      return `${one.name}: cannot be called, ${one.reason}`;
  }
}

/** Core modules have no tuples: what the server tells as one are several results. */
function resultType(type: string, kind: string): string {
  const several = kind === 'component' ? null : /^tuple<(.*)>$/.exec(type);
  return several ? `(${several[1]})` : type;
}

function importLine({ name, status, capability, advice }: Import): string {
  const more = status === 'granted' && capability !== null ? `capability \`${capability}\`` : advice;
  return `${name}: ${status}${more === null ? '' : ` (${more})`}`;
}
