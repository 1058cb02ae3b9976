// The only file that speaks to the server. One method for each call of the contract; every failure is an `ApiError`
// that says what to do, except an abort, which stays the browser's own `AbortError`.
import { isObject, type Json, type JsonObject, parseJson, printFlat } from '../json/json';
import {
  DecodeError,
  decodeExamples,
  decodeFolder,
  decodeGranted,
  decodeHealth,
  decodeModule,
  decodeModules,
  decodeOutcome,
  decodeSecrets,
} from './decode';
import { decodeCapabilities } from './lending';
import {
  ApiError,
  brokenOff,
  isServerProblem,
  notRunner,
  type Problem,
  problemOf,
  unreachable,
} from './problem';
import type {
  CallRequest,
  Example,
  FolderPage,
  Granted,
  HandlerRequest,
  HandlerResponse,
  Health,
  Lending,
  Module,
  ModuleSummary,
  Outcome,
} from './types';
import { encodeFile, encodePath, encodeRef, isAbort, readAtMost } from './wire';

// A handler may answer without end; more than this nobody reads in a page.
const HANDLER_BODY_BYTES_MAX = 4 << 20;
const MODULES_PER_PAGE = 50;
const FILES_PER_PAGE = 200;
// Versions are numbers of 32 bits.
const VERSION_MAX = 0xffff_ffff;

export interface Server {
  address: string;
  token: string;
}

export class Client {
  constructor(private readonly server: Server) {}

  health(): Promise<Health> {
    return this.json(decodeHealth, '/healthz');
  }

  examples(): Promise<Example[]> {
    return this.json(decodeExamples, '/v1/examples');
  }

  async exampleBytes(file: string): Promise<Uint8Array<ArrayBuffer>> {
    const response = await this.send(`/v1/examples/${encodeURIComponent(file)}`);
    return new Uint8Array(await response.arrayBuffer());
  }

  modules(after: string | null): Promise<{ modules: ModuleSummary[]; next: string | null }> {
    const query = new URLSearchParams({ limit: String(MODULES_PER_PAGE) });
    if (after !== null) query.set('after', after);
    return this.json(decodeModules, `/v1/modules?${query}`);
  }

  module(ref: string): Promise<Module> {
    return this.json(decodeModule, `/v1/modules/${encodeRef(ref)}`);
  }

  addModule(bytes: Uint8Array<ArrayBuffer>, isText: boolean): Promise<Module> {
    return this.json(decodeModule, '/v1/modules', upload('POST', bytes, isText));
  }

  /** Stores bytes as the next version of a name. */
  putModule(name: string, bytes: Uint8Array<ArrayBuffer>, isText: boolean): Promise<Module> {
    return this.json(decodeModule, `/v1/modules/${encodeRef(name)}`, upload('PUT', bytes, isText));
  }

  /** The newest version of a name; null where nothing has the name. */
  async newest(name: string): Promise<ModuleSummary | null> {
    // The list goes from the newest version to the oldest: a name that is not there is no error in it.
    const query = new URLSearchParams({ limit: '1', after: `${name}@${VERSION_MAX}` });
    const { modules } = await this.json(decodeModules, `/v1/modules?${query}`);
    return modules.find((module) => module.name === name) ?? null;
  }

  granted(ref: string): Promise<Granted> {
    return this.json(decodeGranted, `/v1/modules/${encodeRef(ref)}/grants`);
  }

  /** Grants this, in the place of what was granted, where that is still what its tag stands for. */
  grant(ref: string, grants: JsonObject, tag: string | null): Promise<Granted> {
    return this.json(decodeGranted, `/v1/modules/${encodeRef(ref)}/grants`, {
      method: 'PUT',
      headers: { 'content-type': 'application/json', ...matching(tag) },
      body: printFlat(grants),
    });
  }

  async takeBack(ref: string, tag: string | null): Promise<void> {
    await this.send(`/v1/modules/${encodeRef(ref)}/grants`, { method: 'DELETE', headers: matching(tag) });
  }

  async lending(): Promise<Lending> {
    const [capabilities, secrets] = await Promise.all([
      this.json(decodeCapabilities, '/v1/grants/schema'),
      this.json(decodeSecrets, '/v1/secrets'),
    ]);
    return { capabilities, secrets };
  }

  /** A page of a directory; its path is that of the server's files, without a `/` before it. */
  folder(path: string, after: string | null): Promise<FolderPage> {
    const query = new URLSearchParams({ limit: String(FILES_PER_PAGE) });
    if (after !== null) query.set('after', after);
    // With a `/` behind it, it is no file: that would be sent as its bytes.
    return this.json(decodeFolder, `/v1/files/${encodeFile(path)}${path === '' ? '' : '/'}?${query}`);
  }

  async file(path: string): Promise<Blob> {
    const response = await this.send(`/v1/files/${encodeFile(path)}`);
    return this.whole(() => response.blob());
  }

  async putFile(path: string, body: Blob): Promise<void> {
    const headers = { 'content-type': 'application/octet-stream' };
    await this.send(`/v1/files/${encodeFile(path)}`, { method: 'PUT', headers, body });
  }

  async makeFolder(path: string): Promise<void> {
    await this.send(`/v1/files/${encodeFile(path)}/`, { method: 'PUT' });
  }

  /** Removes a file, or a directory with all that is in it. */
  async removeFile(path: string): Promise<void> {
    await this.send(`/v1/files/${encodeFile(path)}?recursive=true`, { method: 'DELETE' });
  }

  async deleteModule(ref: string): Promise<void> {
    await this.send(`/v1/modules/${encodeRef(ref)}`, { method: 'DELETE' });
  }

  call(ref: string, request: CallRequest, signal: AbortSignal): Promise<Outcome> {
    return this.json(decodeOutcome, `/v1/modules/${encodeRef(ref)}/call`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: printFlat(requestJson(request)),
      signal,
    });
  }

  /** Every status is an answer here, for it is the guest's; only a problem of the server itself is an error. */
  async handle(ref: string, request: HandlerRequest, signal: AbortSignal): Promise<HandlerResponse> {
    const bodyless = request.method === 'GET' || request.method === 'HEAD' || request.body === '';
    try {
      const response = await this.reach(`/v1/modules/${encodeRef(ref)}/http/${encodePath(request.path)}`, {
        method: request.method,
        headers: request.headers,
        body: bodyless ? null : request.body,
        signal,
      });
      const { body, end } = await readAtMost(response, HANDLER_BODY_BYTES_MAX);
      if (response.headers.get('content-type')?.startsWith('application/problem+json')) {
        const json = jsonIn(new TextDecoder().decode(body));
        if (isServerProblem(json)) throw new ApiError(withOutcome(problemOf(response.status, json), json));
      }
      const { status, statusText, redirected, url } = response;
      const redirectedTo = redirected ? url : null;
      return { status, statusText, headers: [...response.headers], body, end, redirectedTo };
    } catch (error) {
      const unanswered = error instanceof ApiError && error.problem.kind === 'unreachable';
      // A browser does not tell an answer that broke off from a server that is not there: the server does.
      if (unanswered && (await this.isThere())) throw new ApiError(brokenOff());
      throw error;
    }
  }

  private async isThere(): Promise<boolean> {
    return this.health().then(
      () => true,
      () => false,
    );
  }

  private async json<T>(
    read: (json: Json, headers: Headers) => T,
    path: string,
    init: RequestInit = {},
  ): Promise<T> {
    const response = await this.send(path, init);
    const json = jsonIn(await this.whole(() => response.text()));
    if (json === undefined) {
      const type = response.headers.get('content-type') ?? 'no content type';
      throw new ApiError(notRunner(this.server.address, type));
    }
    try {
      return read(json, response.headers);
    } catch (error) {
      if (error instanceof DecodeError) throw new ApiError(notRunner(this.server.address, error.message));
      throw error;
    }
  }

  private async send(path: string, init: RequestInit = {}): Promise<Response> {
    const response = await this.reach(path, init);
    if (response.ok) return response;
    const json = jsonIn(await this.whole(() => response.text()));
    const { status } = response;
    const isProblem = isObject(json) && typeof json.kind === 'string';
    // What a proxy before the server may say in its own words, and is the same news from either.
    const isKnown = status === 401 || status >= 500;
    if (!isProblem && !isKnown) throw new ApiError(notRunner(this.server.address, `status ${status}`));
    throw new ApiError(withOutcome(problemOf(status, json), json));
  }

  private reach(path: string, init: RequestInit): Promise<Response> {
    const headers = new Headers(init.headers);
    if (this.server.token !== '') headers.set('authorization', `Bearer ${this.server.token}`);
    const url = this.server.address + path;
    return this.whole(() => fetch(url, { ...init, headers, credentials: 'omit', cache: 'no-store' }));
  }

  /** A connection can break before the answer or in the middle of it. */
  private async whole<T>(part: () => Promise<T>): Promise<T> {
    try {
      return await part();
    } catch (error) {
      if (isAbort(error)) throw error;
      throw new ApiError(unreachable(this.server.address, location.href));
    }
  }
}

function matching(tag: string | null): Record<string, string> {
  return tag === null ? {} : { 'if-match': tag };
}

function upload(method: string, body: Uint8Array<ArrayBuffer>, isText: boolean): RequestInit {
  return { method, headers: { 'content-type': isText ? 'text/plain' : 'application/wasm' }, body };
}

function requestJson(request: CallRequest): JsonObject {
  const fields = Object.entries(request).filter((field): field is [string, Json] => field[1] !== undefined);
  return Object.fromEntries(fields);
}

function jsonIn(text: string): Json | undefined {
  try {
    return parseJson(text);
  } catch {
    return undefined;
  }
}

/** What an outcome would say of a problem's guest is a help, not a promise: one that cannot be read is left out. */
function withOutcome(problem: Problem, json: Json | undefined): Problem {
  if (!isObject(json) || !isObject(json.outcome)) return problem;
  try {
    return { ...problem, outcome: decodeOutcome(json.outcome) };
  } catch {
    return problem;
  }
}
