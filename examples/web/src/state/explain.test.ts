import { expect, test } from 'vitest';
import type { Export, Import, Module } from '../api/types';
import { explain } from './explain';

const module = (kind: string, exports: Export[], imports: Import[] = []): Module => ({
  id: 'sha256:ab',
  name: null,
  version: null,
  size_bytes: 1,
  kind,
  created: '',
  exports,
  imports,
  schemas_left_out: 0,
});
const typed = (name: string, type: string) => ({ name, type, schema: {} });
const asks = (name: string, status: Import['status'], more: Partial<Import> = {}): Import => ({
  name,
  items: ['open'],
  status,
  about: 'words for the page',
  advice: null,
  capability: null,
  ...more,
});

test('every kind of export and import, in the words of the library', () => {
  const exports: Export[] = [
    {
      name: 'add',
      kind: 'function',
      about: 'adds',
      params: [typed('a', 's32'), typed('b', 's32')],
      result: { type: 's32' },
    },
    { name: 'quiet', kind: 'function', about: '', params: [], result: null },
    { name: '_start', kind: 'command' },
    { name: 'wasi:http/incoming-handler@0.2.0', kind: 'http' },
    { name: 'odd', kind: 'unsupported', reason: 'it has v128' },
  ];
  const imports = [
    asks('wasi:cli/stdout@0.2.0', 'provided'),
    asks('wasi:keyvalue/store@0.2.0', 'granted', { capability: 'kv' }),
    asks('wasi:config/store@0.2.0', 'missing', { capability: 'config', advice: 'grant it with {}' }),
    asks('wasi:http/outgoing-handler@0.2.0', 'closed', { capability: 'http', advice: 'grant it' }),
    asks('wasi:sockets/tcp@0.2.0', 'closed'),
  ];
  expect(explain(module('component', exports, imports))).toBe(
    [
      'component sha256:ab',
      '  export add: func(a: s32, b: s32) -> s32',
      '  export quiet: func()',
      '  export _start: command',
      '  export wasi:http/incoming-handler@0.2.0: http handler',
      '  export odd: cannot be called, it has v128',
      '  import wasi:cli/stdout@0.2.0: provided',
      '  import wasi:keyvalue/store@0.2.0: granted (capability `kv`)',
      '  import wasi:config/store@0.2.0: missing (grant it with {})',
      '  import wasi:http/outgoing-handler@0.2.0: closed (grant it)',
      '  import wasi:sockets/tcp@0.2.0: closed',
      '',
    ].join('\n'),
  );
});

test('several results of a core module are no tuple, that of a component is one', () => {
  const swap: Export = {
    name: 'swap',
    kind: 'function',
    about: '',
    params: [typed('p0', 's32')],
    result: { type: 'tuple<s32, s64>' },
  };
  expect(explain(module('core', [swap]))).toContain('func(p0: s32) -> (s32, s64)\n');
  expect(explain(module('component', [swap]))).toContain('func(p0: s32) -> tuple<s32, s64>\n');
});
