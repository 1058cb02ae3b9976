// The limits that a person can set for one call: their names in the API, the unit in which they are typed, and what
// each is for. An outcome's `exhausted` names one of them by `id`.
import type { Export } from '../api/types';

export type LimitId =
  | 'deadline'
  | 'memory'
  | 'fuel'
  | 'host_calls'
  | 'host_bytes'
  | 'output'
  | 'input'
  | 'tables'
  | 'instances'
  | 'handles';

export interface Limit {
  id: LimitId;
  label: string;
  unit: string;
  /** The name in the request, and how many of the request's units are in one of the form's. */
  field: string;
  scale: number;
  about: string;
}

export const LIMITS: Limit[] = [
  {
    id: 'deadline',
    label: 'Deadline',
    unit: 'ms',
    field: 'deadline_ms',
    scale: 1,
    about: 'Wall time; stops a spinning guest and a sleeping host call',
  },
  {
    id: 'memory',
    label: 'Memory',
    unit: 'MiB',
    field: 'memory_bytes',
    scale: 1 << 20,
    about: 'All linear memories together',
  },
  {
    id: 'fuel',
    label: 'Fuel',
    unit: 'units',
    field: 'fuel',
    scale: 1,
    about: 'About one unit for each instruction; the call is then metered by fuel',
  },
  {
    id: 'host_calls',
    label: 'Host calls',
    unit: '',
    field: 'host_calls',
    scale: 1,
    about: 'How often the module may ask the host for something',
  },
  {
    id: 'host_bytes',
    label: 'Host bytes',
    unit: 'MiB',
    field: 'host_bytes',
    scale: 1 << 20,
    about: 'What capabilities move for the module, both ways',
  },
  {
    id: 'input',
    label: 'Input',
    unit: 'KiB',
    field: 'input_bytes',
    scale: 1024,
    about: 'Arguments, environment and stdin together',
  },
  {
    id: 'output',
    label: 'Output',
    unit: 'KiB',
    field: 'output_bytes',
    scale: 1024,
    about: 'Result, stdout and stderr together',
  },
  {
    id: 'tables',
    label: 'Tables',
    unit: 'elements',
    field: 'table_elements',
    scale: 1,
    about: 'Elements of all tables together',
  },
  {
    id: 'instances',
    label: 'Instances',
    unit: '',
    field: 'instances',
    scale: 1,
    about: 'Core instances that one component consists of',
  },
  {
    id: 'handles',
    label: 'Handles',
    unit: '',
    field: 'handles',
    scale: 1,
    about: 'Streams, files and the like held open at once',
  },
];

/** What to do when a limit was met; the ones that only the server's owner can raise say so. */
export function howToRaise(limit: string, target: Export['kind']): { id: LimitId | null; advice: string } {
  if (target === 'http') return { id: null, advice: 'A handler has the server’s own limits.' };
  const known = LIMITS.find(({ id }) => id === limit);
  if (known)
    return { id: known.id, advice: `Raise “${known.label}” in the limits, if this call deserves more.` };
  if (limit === 'stack') {
    return {
      id: null,
      advice: 'The stack is bounded where the server is started. Most often this is endless recursion.',
    };
  }
  return {
    id: null,
    advice: `This page has no field for it: set \`${limit}\` in the request’s limits by the API.`,
  };
}
