// The server's answers and requests, as its contract (`/openapi.json`) gives them. Types only.
import type { Json } from '../json/json';

export interface ModuleSummary {
  id: string;
  name: string | null;
  version: number | null;
  size_bytes: number;
  kind: string;
  created: string;
}

export interface Module extends ModuleSummary {
  exports: Export[];
  imports: Import[];
  /** Functions whose schemas the server did not send: a module's may be too many. */
  schemas_left_out: number;
}

export interface Typed {
  name: string;
  type: string;
  schema: unknown;
}

export type Export =
  | { name: string; kind: 'function'; about: string; params: Typed[]; result: { type: string } | null }
  | { name: string; kind: 'command' }
  | { name: string; kind: 'http' }
  | { name: string; kind: 'unsupported'; reason: string };

export type ImportStatus = 'provided' | 'closed' | 'granted' | 'missing';

export interface Import {
  name: string;
  status: ImportStatus;
  about: string;
  capability: string | null;
  grant: Json | null;
}

export interface Example {
  file: string;
  title: string;
  about: string;
  function: string | null;
  args: Json | null;
}

export type CallRequest = {
  function?: string;
  args?: Json;
  args_cli?: string[];
  env?: Record<string, string>;
  stdin?: string;
  limits?: Record<string, number>;
  metering?: 'epochs' | 'fuel';
  deterministic?: { seed: number };
};

export interface Frame {
  function: string | null;
  offset: number | null;
}

export type Ending =
  | { kind: 'returned'; value: Json }
  | {
      kind: 'failed';
      code: string;
      message: string;
      retryable: boolean;
      exit_code: number | null;
      value: Json | undefined;
    }
  | { kind: 'trapped'; code: string; message: string; backtrace: Frame[] }
  | { kind: 'exhausted'; limit: string; allowed: number; unit: string }
  | { kind: 'cancelled' };

export interface Usage {
  /** Every number of the usage by its name: `guest_us`, `memory_peak_bytes`, .. ; new ones may come. */
  numbers: Record<string, number>;
  capabilities: Record<string, Record<string, number>>;
}

export interface Outcome {
  ending: Ending;
  usage: Usage;
  stdout: string;
  stderr: string;
}

export interface HandlerRequest {
  method: string;
  path: string;
  headers: [string, string][];
  body: string;
}

export interface HandlerResponse {
  status: number;
  statusText: string;
  headers: [string, string][];
  body: Uint8Array;
  end: BodyEnd;
  /** Where the answer comes from, when the handler sent the browser on. */
  redirectedTo: string | null;
}

/** How a body ended: `cut` where it was longer than this page reads, `broken` where the guest stopped in the middle. */
export type BodyEnd = 'whole' | 'cut' | 'broken';

export interface Health {
  status: string;
  version: string;
}
