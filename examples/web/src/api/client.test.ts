import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { Client } from './client';
import { ApiError, aboutFile, type Problem } from './problem';

interface Sent {
  url: string;
  init: RequestInit;
}

let sent: Sent[];
let answer: () => Response | Promise<Response>;
beforeEach(() => {
  sent = [];
  vi.stubGlobal('location', { href: 'http://page.test/' });
  vi.stubGlobal('fetch', async (url: string, init: RequestInit) => {
    sent.push({ url, init });
    return answer();
  });
});
afterEach(() => {
  vi.unstubAllGlobals();
});

const client = new Client({ address: 'http://server.test', token: 'secret' });
const json = (body: string, status = 200, type = 'application/json') =>
  new Response(body, { status, headers: { 'content-type': type } });
const header = (name: string) => new Headers(sent[0]?.init.headers).get(name);

async function problemOf(call: Promise<unknown>): Promise<Problem> {
  const error = await call.catch((caught: unknown) => caught);
  if (!(error instanceof ApiError)) throw new Error(`expected an ApiError, found ${error}`);
  return error.problem;
}

describe('grants', () => {
  const told = '{"name": "shop", "version": 2, "id": "sha256:ab", "grants": {"kv": {}}}';

  test('they are put to one version, digit for digit, and taken back from it', async () => {
    answer = () => json(told);
    const granted = await client.grant('shop@2', { kv: { limits: { bytes: 2n ** 63n } } }, '"a-none"');
    expect([granted.grants, granted.tag]).toEqual([{ kv: {} }, null]);
    expect([sent[0]?.url, sent[0]?.init.method]).toEqual([
      'http://server.test/v1/modules/shop@2/grants',
      'PUT',
    ]);
    expect(sent[0]?.init.body).toBe('{ "kv": { "limits": { "bytes": 9223372036854775808 } } }');
    expect([header('content-type'), header('if-match')]).toEqual(['application/json', '"a-none"']);
    answer = () => new Response(null, { status: 204 });
    await client.takeBack('shop@2', '"a-1"');
    expect(new Headers(sent[1]?.init.headers).get('if-match')).toBe('"a-1"');
    expect([sent[1]?.url, sent[1]?.init.method]).toEqual([sent[0]?.url, 'DELETE']);
  });

  test('they come with their tag', async () => {
    answer = () => new Response(told, { headers: { 'content-type': 'application/json', etag: '"a-2"' } });
    expect((await client.granted('shop@2')).tag).toBe('"a-2"');
  });

  test('what does not fit comes as the server’s own words', async () => {
    answer = () => json('{"kind": "invalid", "title": "Bad Request", "detail": "no such capability"}', 400);
    const problem = await problemOf(client.grant('shop@2', { files: {} }, null));
    expect([problem.kind, problem.detail]).toEqual(['invalid', 'no such capability']);
  });

  test('what can be lent is the schema and the names of secrets', async () => {
    const answers = ['{"properties": {"kv": {"description": "Stores."}}}', '{"secrets": ["API_KEY"]}'];
    answer = () => json(answers[sent.length - 1] ?? '');
    expect(await client.lending()).toEqual({
      capabilities: [{ id: 'kv', about: 'Stores.', example: null, fields: [] }],
      secrets: ['API_KEY'],
    });
    expect(sent.map(({ url }) => url.replace('http://server.test', ''))).toEqual([
      '/v1/grants/schema',
      '/v1/secrets',
    ]);
  });

  test('the newest version of a name is found, and that of its neighbour is not taken for it', async () => {
    const listed = (name: string) =>
      json(
        `{"modules": [{"id": "sha256:ab", "name": "${name}", "version": 7, "size_bytes": 1, "kind": "core", "created": ""}]}`,
      );
    answer = () => listed('shop');
    expect(await client.newest('shop')).toMatchObject({ name: 'shop', version: 7 });
    expect(new URL(sent[0]?.url ?? '').searchParams.get('after')).toBe('shop@4294967295');
    answer = () => listed('shop-2');
    expect(await client.newest('shop')).toBe(null);
  });
});

describe('files', () => {
  const place = () =>
    sent.map(({ url, init }) => [init.method ?? 'GET', url.replace('http://server.test', '')]);

  test('a directory is asked for as one, page by page', async () => {
    answer = () =>
      json(
        '{"path": "/", "entries": [{"name": "a", "kind": "file", "size": 5, "modified_ms": 7}, {"name": "b", "kind": "socket"}], "next": "b"}',
      );
    expect(await client.folder('', null)).toEqual({
      entries: [
        { name: 'a', kind: 'file', size: 5, modified_ms: 7 },
        { name: 'b', kind: 'other', size: null, modified_ms: 0 },
      ],
      next: 'b',
    });
    await client.folder('shop/a?b', 'x&y');
    expect(place()).toEqual([
      ['GET', '/v1/files/?limit=200'],
      ['GET', '/v1/files/shop/a%3Fb/?limit=200&after=x%26y'],
    ]);
    expect(header('authorization')).toBe('Bearer secret');
  });

  test('names stay names, whatever is in them', async () => {
    answer = () => new Response(null, { status: 204 });
    await client.putFile('shop/a b#c%2F', new Blob(['x']));
    await client.makeFolder('shop/日本');
    await client.removeFile('shop/...');
    expect(place()).toEqual([
      ['PUT', '/v1/files/shop/a%20b%23c%252F'],
      ['PUT', '/v1/files/shop/%E6%97%A5%E6%9C%AC/'],
      ['DELETE', '/v1/files/shop/...?recursive=true'],
    ]);
  });

  test('a file comes as its bytes, and a refusal as the server’s words', async () => {
    answer = () => new Response(new Uint8Array([0, 255]));
    expect([...new Uint8Array(await (await client.file('a')).arrayBuffer())]).toEqual([0, 255]);
    answer = () => json('{"kind": "not_found", "title": "Not Found", "detail": "`/a` is not there"}', 404);
    const problem = aboutFile(await problemOf(client.file('a')));
    expect([problem.detail, problem.advice]).toEqual([
      '`/a` is not there',
      'It may have been removed. Look at the folder that it was in.',
    ]);
  });
});

describe('what is sent', () => {
  test('the token goes in a header, and in no address', async () => {
    answer = () => json('{"status": "ok", "version": "0.1.0"}');
    await client.health();
    expect(header('authorization')).toBe('Bearer secret');
    expect(sent[0]?.url).toBe('http://server.test/healthz');
  });

  test('no token, no header', async () => {
    answer = () => json('{"status": "ok", "version": "0.1.0"}');
    await new Client({ address: 'http://server.test', token: '' }).health();
    expect(header('authorization')).toBe(null);
  });

  test('text and bytes are told apart by their type', async () => {
    answer = () =>
      json('{"id": "i", "size_bytes": 1, "kind": "core", "created": "", "exports": [], "imports": []}');
    await client.addModule(new Uint8Array([0]), false);
    expect(header('content-type')).toBe('application/wasm');
    sent = [];
    await client.addModule(new Uint8Array([40]), true);
    expect(header('content-type')).toBe('text/plain');
  });

  test('a call names its module by a path that keeps `:` and `@`, and sends no empty fields', async () => {
    answer = () => json('{"ending": {"kind": "returned", "value": 3}, "usage": {}}');
    const outcome = await client.call(
      'sha256:ab',
      { function: 'sum', args: [1, 2n ** 60n] },
      new AbortController().signal,
    );
    expect(sent[0]?.url).toBe('http://server.test/v1/modules/sha256:ab/call');
    expect(sent[0]?.init.body).toBe('{ "function": "sum", "args": [1, 1152921504606846976] }');
    expect(outcome.ending).toEqual({ kind: 'returned', value: 3 });
  });
});

describe('what goes wrong', () => {
  test('a problem of the server is told with advice', async () => {
    answer = () =>
      json(
        '{"title": "Not Found", "detail": "no `x`", "kind": "not_found"}',
        404,
        'application/problem+json',
      );
    expect(await problemOf(client.module('x'))).toEqual({
      title: 'It is not there',
      detail: 'no `x`',
      advice: expect.stringContaining('add it again'),
      status: 404,
      kind: 'not_found',
    });
  });

  test('a kind that a newer server has is told in its own words', async () => {
    answer = () => json('{"title": "Too Odd", "detail": "odd", "kind": "odd"}', 409);
    expect(await problemOf(client.module('x'))).toMatchObject({
      title: 'Too Odd',
      advice: expect.stringContaining('Try again'),
      kind: 'odd',
    });
  });

  test('what a proxy says without a body is told by its status', async () => {
    answer = () => new Response('', { status: 401 });
    expect(await problemOf(client.module('x'))).toMatchObject({ kind: 'unauthorized', status: 401 });
    answer = () => new Response('<html>', { status: 502 });
    expect(await problemOf(client.module('x'))).toMatchObject({ kind: 'unavailable', status: 502 });
  });

  test('a file host where a server was expected', async () => {
    for (const status of [403, 404]) {
      answer = () => new Response('<Error><Code>NoSuchKey</Code></Error>', { status });
      expect(await problemOf(client.health())).toMatchObject({
        kind: 'not_runner',
        detail: expect.stringContaining(`status ${status}`),
      });
    }
  });

  test('no answer at all', async () => {
    answer = () => Promise.reject(new TypeError('Failed to fetch'));
    const problem = await problemOf(client.health());
    expect(problem).toMatchObject({ kind: 'unreachable', detail: 'No answer from http://server.test' });
    expect(problem.advice).toContain('http://page.test as an allowed origin');
  });

  test('a page where a server was expected', async () => {
    answer = () => json('<!doctype html>', 200, 'text/html');
    expect(await problemOf(client.health())).toMatchObject({ kind: 'not_runner' });
    answer = () => json('{"status": "ok"}');
    expect((await problemOf(client.health())).detail).toContain('expected a text in `version`');
  });

  test('an abort stays an abort', async () => {
    answer = () => Promise.reject(new DOMException('stopped', 'AbortError'));
    await expect(client.health()).rejects.toHaveProperty('name', 'AbortError');
  });
});

describe('a module’s own handler', () => {
  const request = {
    method: 'POST',
    path: '/a?b=c',
    headers: [['x-a', '1']] as [string, string][],
    body: 'hello',
  };
  const signal = new AbortController().signal;

  test('is reached below the module, and every status is an answer', async () => {
    answer = () => new Response('gone', { status: 410, headers: { 'x-guest': 'yes' } });
    const response = await client.handle('total@3', request, signal);
    expect(sent[0]?.url).toBe('http://server.test/v1/modules/total@3/http/a?b=c');
    expect(header('x-a')).toBe('1');
    expect(response).toMatchObject({ status: 410, end: 'whole', redirectedTo: null });
    expect(response.headers).toContainEqual(['x-guest', 'yes']);
    expect(new TextDecoder().decode(response.body)).toBe('gone');
  });

  test('is asked for exactly the path that was typed', async () => {
    answer = () => new Response('');
    const cases: [string, string][] = [
      ['', ''],
      ['//a', 'a'],
      ['/a#b?c#d', 'a%23b?c%23d'],
      ['/a\\b?c\\d', 'a%5Cb?c\\d'],
    ];
    for (const [path, asked] of cases) {
      sent = [];
      await client.handle('x', { ...request, path }, signal);
      expect(sent[0]?.url).toBe(`http://server.test/v1/modules/x/http/${asked}`);
    }
  });

  test('that ended without an answer leaves its outcome', async () => {
    const outcome = '{"ending": {"kind": "trapped", "code": "unreachable", "message": "m"}, "usage": {}}';
    const body = `{"title": "Bad Gateway", "kind": "unavailable", "outcome": ${outcome}}`;
    answer = () => json(body, 502, 'application/problem+json');
    const { outcome: left } = await problemOf(client.handle('x', request, signal));
    expect(left?.ending).toMatchObject({ kind: 'trapped', code: 'unreachable' });
    answer = () => json(body.replace('trapped', 'newer'), 502, 'application/problem+json');
    expect(await problemOf(client.handle('x', request, signal))).not.toHaveProperty('outcome');
  });

  test('that breaks off in the middle leaves what came before', async () => {
    const broken = new ReadableStream<Uint8Array>({
      start: (controller) => controller.enqueue(new TextEncoder().encode('the first half')),
      pull: (controller) => controller.error(new TypeError('network error')),
    });
    answer = () => new Response(broken);
    const response = await client.handle('x', request, signal);
    expect(response.end).toBe('broken');
    expect(new TextDecoder().decode(response.body)).toBe('the first half');
  });

  test('that breaks off at once is told from a server that is gone', async () => {
    const failed = () => Promise.reject(new TypeError('Failed to fetch'));
    answer = () =>
      sent.at(-1)?.url.endsWith('/healthz') ? json('{"status": "ok", "version": "0.1.0"}') : failed();
    expect(await problemOf(client.handle('x', request, signal))).toMatchObject({ kind: 'broken_off' });
    answer = failed;
    expect(await problemOf(client.handle('x', request, signal))).toMatchObject({ kind: 'unreachable' });
  });

  test('may answer with a problem of its own', async () => {
    const body = '{"title": "Out of cheese", "status": 418}';
    answer = () => json(body, 418, 'application/problem+json');
    expect(new TextDecoder().decode((await client.handle('x', request, signal)).body)).toBe(body);
    answer = () => json('{"title": "Not Found", "kind": "not_found"}', 404, 'application/problem+json');
    expect(await problemOf(client.handle('x', request, signal))).toMatchObject({ kind: 'not_found' });
  });

  test('is read no further than a bound', async () => {
    let cancelled = false;
    const endless = new ReadableStream<Uint8Array>({
      pull: (controller) => controller.enqueue(new Uint8Array(1 << 20)),
      cancel: () => {
        cancelled = true;
      },
    });
    answer = () => new Response(endless);
    const response = await client.handle('x', request, signal);
    expect(response.end).toBe('cut');
    expect(cancelled).toBe(true);
    expect(response.body.length).toBeLessThan(6 << 20);
  });
});
