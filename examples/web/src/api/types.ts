// The server's answers and requests, as its contract (`/openapi.json`) gives them. Types only.
import type { Json, JsonObject } from '../json/json';

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

export type ImportStatus = 'provided' | 'closed' | 'granted' | 'broken' | 'missing';

export interface Import {
  name: string;
  /** What of it: functions, and resources with their functions. */
  items: string[];
  status: ImportStatus;
  about: string;
  /** What would open it, in the words of core. */
  advice: string | null;
  /** The capability that serves it, or would. */
  capability: string | null;
}

/** What a version of a name was granted. */
export interface Granted {
  name: string;
  version: number;
  id: string;
  /** For each capability's id its grant. */
  grants: JsonObject;
  /** Of those, which this server cannot keep any more, and why. */
  broken: Record<string, string>;
  since: string | null;
  /** Stands for exactly this; null from a server that does not say. */
  tag: string | null;
  /** What other bytes under the name were granted last. */
  before: { version: number; id: string; grants: JsonObject; since: string } | null;
}

/** What the server can lend, from the schema of grants; and the names of its secrets. */
export interface Lending {
  capabilities: Capability[];
  secrets: string[];
}

export interface Capability {
  id: string;
  about: string;
  example: Json | null;
  fields: GrantField[];
}

export interface GrantField {
  /** Where it stands in the grant: `allow[].host`, `stores.*.namespace`. */
  path: string;
  type: string;
  required: boolean;
  default: Json | undefined;
  about: string;
  /** What modules share where they are granted the same: in an example it is the module's own name. */
  named: boolean;
}

export interface Example {
  file: string;
  title: string;
  about: string;
  function: string | null;
  args: Json | null;
  /** The name that it is stored under; without one and without grants it is known by its bytes. */
  name: string | null;
  /** Grants that it works with: a suggestion, nothing more. */
  grants: JsonObject | null;
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
  /** What the call changed in its files, by the paths that the module knows; null where nothing. */
  changes: FileChanges | null;
}

export interface FileChanges {
  added: string[];
  changed: string[];
  removed: string[];
  /** How many more there are, which are not named. */
  unnamed: number;
}

export interface Outcome {
  /** What the server's log calls it. */
  call: number | null;
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

export interface FolderPage {
  entries: FileEntry[];
  next: string | null;
}

export interface FileEntry {
  name: string;
  kind: 'file' | 'directory' | 'symlink' | 'other';
  /** Bytes; null where it has none. */
  size: number | null;
  /** Milliseconds since 1970. */
  modified_ms: number;
}

export interface Health {
  status: string;
  version: string;
}
