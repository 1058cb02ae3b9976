// What went wrong between this page and the server, and what a person can do about it. Covers the server's own
// problems (RFC 9457), a server that cannot be reached, one that refuses this page, and one that is not a Runner.
import { isObject, type Json } from '../json/json';
import type { Outcome } from './types';

export interface Problem {
  title: string;
  detail: string;
  /** What to do next, in one or two sentences. */
  advice: string;
  status: number | null;
  kind: string;
  /** What the guest did before the problem, where the server says. */
  outcome?: Outcome;
}

export class ApiError extends Error {
  constructor(readonly problem: Problem) {
    super(`${problem.title}: ${problem.detail}`);
    this.name = 'ApiError';
  }
}

/** The kinds of the server's contract: each in the words of who reads this page, and what to do next. */
const KINDS: Record<string, { title: string; advice: string }> = {
  invalid: {
    title: 'The server refused it',
    advice: 'Correct what the message names, then try again.',
  },
  not_found: {
    title: 'It is not there',
    advice: 'It may have been deleted. Choose another module, or add it again.',
  },
  denied: {
    title: 'It lacks something that it imports',
    advice: '“What it asks for” says what that is, and whether a grant would bring it.',
  },
  exceeded: {
    title: 'It exceeds a bound of the server',
    advice: 'The server’s bounds are set where it is started.',
  },
  unavailable: {
    title: 'The server is busy or stopping',
    advice: 'Wait a moment, then try again.',
  },
  conflict: {
    title: 'It is in use, or was changed',
    advice: 'Someone else may have changed the same thing. Look at it as it is now. Try again.',
  },
  internal: {
    title: 'The server failed',
    advice: 'This is a fault of the server. Its log says more.',
  },
  unauthorized: {
    title: 'The server wants a token',
    advice: 'Enter the one that it was started with under “Server”.',
  },
  forbidden: {
    title: 'The server refuses this page',
    advice:
      'Start it with this page’s address named as an allowed origin, or open the page that the server itself serves.',
  },
};

const KIND_OF_STATUS: Record<number, string> = {
  400: 'invalid',
  401: 'unauthorized',
  403: 'forbidden',
  404: 'not_found',
  409: 'conflict',
  412: 'conflict',
  413: 'exceeded',
  422: 'invalid',
  429: 'unavailable',
  500: 'internal',
  502: 'unavailable',
  503: 'unavailable',
  504: 'unavailable',
};

export function problemOf(status: number, json: Json | undefined): Problem {
  const body = isObject(json) ? json : {};
  const known = KIND_OF_STATUS[status] ?? (status >= 500 ? 'internal' : 'invalid');
  const kind = typeof body.kind === 'string' ? body.kind : known;
  const title = typeof body.title === 'string' ? body.title : `The server answered ${status}`;
  return {
    title: KINDS[kind]?.title ?? title,
    detail: typeof body.detail === 'string' ? body.detail : '',
    advice: (KINDS[kind] ?? KINDS[known])?.advice ?? '',
    status,
    kind,
  };
}

/** A handler may answer with problem+json of its own; the server's problems carry a kind that the contract knows. */
export function isServerProblem(json: Json | undefined): boolean {
  return isObject(json) && typeof json.kind === 'string' && Object.hasOwn(KINDS, json.kind);
}

export function unreachable(server: string, page: string): Problem {
  const foreign = new URL(server).origin !== new URL(page).origin;
  const mixed = page.startsWith('https:') && server.startsWith('http:');
  const advice = mixed
    ? 'This page came over https, and browsers do not let such a page speak to an http server. Use an https address.'
    : foreign
      ? `Check that the server is running and that its address is right. It must also allow this page: start it with ${new URL(page).origin} as an allowed origin.`
      : 'Check that the server is running (scripts/run_runner_server.sh), or set its address under “Server”.';
  return {
    title: 'The server cannot be reached',
    detail: `No answer from ${server}`,
    advice,
    status: null,
    kind: 'unreachable',
  };
}

/** The server is there, and yet a handler's answer did not arrive whole. */
export function brokenOff(): Problem {
  return {
    title: 'The handler’s answer did not arrive',
    detail: 'The connection ended before the answer did',
    advice:
      'The handler stopped in the middle of its answer, met its deadline, or sent this page on to an address that it may not read.',
    status: null,
    kind: 'broken_off',
  };
}

export function notRunner(server: string, found: string): Problem {
  return {
    title: 'This is not a Runner server',
    detail: `Something else answered at ${server}: ${found}`,
    advice: 'Set the address of your Runner server under “Server”.',
    status: null,
    kind: 'not_runner',
  };
}

export function unreadable(error: unknown): ApiError {
  const detail = error instanceof Error ? error.message : String(error);
  const advice = 'Folders cannot be added: choose the files in it.';
  return new ApiError({ title: 'It cannot be read', detail, advice, status: null, kind: 'unreadable' });
}

/** A problem with a file: what the server's kinds say of modules is no help there. */
export function aboutFile(problem: Problem): Problem {
  const words = FILE_KINDS[problem.kind];
  return words === undefined ? problem : { ...problem, ...words };
}

const FILE_KINDS: Record<string, Partial<Problem>> = {
  not_found: { advice: 'It may have been removed. Look at the folder that it was in.' },
  denied: { title: 'Nobody may do this', advice: '' },
  conflict: {
    title: 'Something else is in the way',
    advice: 'Somebody may have changed the same thing. Look again, then try again.',
  },
  exceeded: { advice: 'There is no room for it where the server keeps its files.' },
};

export function asProblem(error: unknown): Problem {
  if (error instanceof ApiError) return error.problem;
  const detail = error instanceof Error ? error.message : String(error);
  return {
    title: 'This page failed',
    detail,
    advice: 'Reload the page; if it happens again, it is a bug.',
    status: null,
    kind: 'page',
  };
}
