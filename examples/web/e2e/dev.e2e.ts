// The dev server in front of the real one: its page and the API share one origin, and foreign pages stay out.
import { fileURLToPath } from 'node:url';
import { createServer, type ViteDevServer } from 'vite';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { SPIN } from './modules';

const SERVER = inject('server');

let dev: ViteDevServer;
let address: string;
beforeAll(async () => {
  process.env.RUNNER_SERVER = SERVER;
  const root = fileURLToPath(new URL('..', import.meta.url));
  dev = await createServer({
    root,
    configFile: `${root}vite.config.ts`,
    logLevel: 'error',
    server: { port: 0 },
  });
  await dev.listen();
  address = (dev.resolvedUrls?.local[0] ?? '').replace(/\/$/, '');
});
afterAll(() => dev?.close());

const add = (origin: string) =>
  fetch(`${address}/v1/modules`, {
    method: 'POST',
    headers: { origin, 'content-type': 'text/plain' },
    body: SPIN,
  });

test('the page that it serves reaches the API', async () => {
  expect((await fetch(`${address}/healthz`)).status).toBe(200);
  const added = await add(address);
  expect(added.status).toBe(201);
  const { id } = (await added.json()) as { id: string };
  await fetch(`${SERVER}/v1/modules/${id}`, { method: 'DELETE' });
});

test('a foreign page does not', async () => {
  expect((await add('http://elsewhere.test')).status).toBe(403);
});
