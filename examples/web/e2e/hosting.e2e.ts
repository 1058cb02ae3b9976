// The built page on static hosting: a folder of some file host, on another origin than the server, which allows it.
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer, type Server as HttpServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'vite';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { SERVER, Visit } from './browser';
import { SUM } from './modules';
import { PAGE, Server } from './server';

const TYPES: Record<string, string> = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.svg': 'image/svg+xml',
};

// As an S3 website does: files below a folder, the index where a folder is asked for, else an error in XML. No rewriting.
function hosting(root: string): HttpServer {
  return createServer(async (request, response) => {
    const { pathname } = new URL(request.url ?? '/', 'http://host');
    const path = pathname.startsWith('/a/folder/') ? normalize(pathname.slice('/a/folder'.length)) : null;
    const file = path?.endsWith('/') ? `${path}index.html` : path;
    const body = file ? await readFile(join(root, file)).catch(() => null) : null;
    response.writeHead(body === null ? 404 : 200, {
      'content-type': TYPES[extname(file ?? '')] ?? 'text/xml',
    });
    response.end(body ?? '<Error><Code>NoSuchKey</Code></Error>');
  });
}

async function originOf(host: HttpServer): Promise<string> {
  await new Promise<void>((listening) => host.listen(0, '127.0.0.1', listening));
  return `http://127.0.0.1:${(host.address() as AddressInfo).port}`;
}

let host: HttpServer;
let origin: string;
let server: Server;
beforeAll(async () => {
  host = hosting(PAGE);
  origin = await originOf(host);
  server = await Server.start('--allow-origin', origin, '--token', 'sesame');
});
afterAll(async () => {
  host?.close();
  await server?.end();
});

async function giveToken(visit: Visit): Promise<void> {
  await visit.page.getByRole('main').getByRole('button', { name: 'Set the server' }).click();
  await visit.page.getByLabel('Token').fill('sesame');
  await visit.page.getByRole('button', { name: 'Use this server' }).click();
  await visit.examples();
}

test('everything works from there: adding, calling, asking a handler, deleting, a reload', async () => {
  const missing: string[] = [];
  const visit = await Visit.open({}, `${origin}/a/folder/?server=${server.address}`);
  visit.page.on('response', (response) => {
    if (response.url().startsWith(origin) && response.status() !== 200) missing.push(response.url());
  });
  await giveToken(visit);
  await visit.add({ name: 'sum.wat', content: SUM });
  await visit.argument(0).fill('40');
  await visit.argument(1).fill('2');
  await visit.run();
  expect(await visit.verdict()).toBe('Returned');

  await visit.page.reload();
  await visit.page.getByRole('heading', { level: 1, name: 'sum.wat' }).waitFor();
  await visit.page.getByRole('button', { name: 'Delete sum.wat' }).click();
  await visit.page.getByRole('button', { name: 'Delete from the server' }).click();
  await visit.examples();

  await visit.example(/^HTTP hello/);
  await visit.page.getByLabel('Method').selectOption('PUT');
  await visit.page.getByLabel('Path').fill('/headers');
  await visit.page.getByRole('button', { name: 'Add header' }).click();
  await visit.page.getByLabel('header 1, name').fill('x-mine');
  await visit.page.getByLabel('header 1, value').fill('yes');
  await visit.run();
  expect(await visit.verdict()).toBe('200');
  const { headers } = JSON.parse(await visit.result.locator('pre').first().innerText());
  expect(headers).toContainEqual(['x-mine', 'yes']);
  expect(visit.page.url()).toContain(`${origin}/a/folder/#/modules/`);
  expect(missing).toEqual([]);
  await visit.close(/status of 401/);
});

test('the server’s address can be built in', async () => {
  const outDir = await mkdtemp(join(tmpdir(), 'runner-web-built-'));
  const built = hosting(outDir);
  const elsewhere = await originOf(built);
  const own = await Server.start('--allow-origin', elsewhere);
  process.env.VITE_RUNNER_SERVER = own.address;
  const root = fileURLToPath(new URL('..', import.meta.url));
  await build({ root, logLevel: 'error', build: { outDir, emptyOutDir: true } });
  delete process.env.VITE_RUNNER_SERVER;

  const visit = await Visit.open({}, `${elsewhere}/a/folder/`);
  await visit.example(/^Sum of/);
  await visit.run();
  expect(await visit.verdict()).toBe('Returned');
  await visit.close();
  await own.end();
  built.close();
  await rm(outDir, { recursive: true });
});

test('without an address it says that its host is no server, and takes one that outlives a reload', async () => {
  const visit = await Visit.open({}, `${origin}/a/folder/`);
  const note = visit.page.getByRole('main').locator('.note');
  await expect.poll(() => note.innerText()).toMatch(/not a Runner server[\s\S]*status 404/);
  await note.getByRole('button', { name: 'Set the server' }).click();
  await visit.page.getByLabel('Address').fill(server.address);
  await visit.page.getByLabel('Token').fill('sesame');
  await visit.page.getByRole('button', { name: 'Use this server' }).click();
  await visit.examples();
  await visit.page.reload();
  await visit.examples();
  await visit.close(/Failed to load resource/);
});

test('a server that does not allow it is told from one that is gone by what to do', async () => {
  const visit = await Visit.open({}, `${origin}/a/folder/?server=${SERVER}`);
  const note = visit.page.getByRole('main').locator('.note');
  await expect.poll(() => note.innerText()).toContain(`${origin} as an allowed origin`);
  await visit.close(/CORS|Failed to load resource/);
});
