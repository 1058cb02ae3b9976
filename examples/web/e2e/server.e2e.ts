// The page and its server: a token, a server that goes and comes back, one that is not there, one that takes less.
import { afterEach, expect, test } from 'vitest';
import { SERVER, Visit } from './browser';
import { SUM } from './modules';
import { Server } from './server';

const FAILED = /Failed to load resource/;

let server: Server | null = null;
afterEach(async () => {
  await server?.end();
  server = null;
});

const dialogOf = (visit: Visit) => visit.page.getByRole('dialog');

async function giveToken(visit: Visit, token: string): Promise<void> {
  await dialogOf(visit).getByLabel('Token').fill(token);
  await dialogOf(visit).getByRole('button', { name: 'Use this server' }).click();
}

test('a server that wants a token is given it, in a header only', async () => {
  server = await Server.start('--token', 'sesame');
  const visit = await Visit.open({}, server.address);
  const addresses: string[] = [];
  visit.page.on('request', (request) => addresses.push(request.url()));
  const note = visit.page.getByRole('main').locator('.note');
  await expect.poll(() => note.innerText()).toMatch(/The server wants a token/);
  await note.getByRole('button', { name: 'Set the server' }).click();
  await expect.poll(() => dialogOf(visit).innerText()).toMatch(/and wants a token/);
  const focused = () =>
    dialogOf(visit)
      .getByLabel('Token')
      .evaluate((field) => field === document.activeElement);
  expect(await focused()).toBe(true);

  await giveToken(visit, 'wröng');
  await dialogOf(visit).getByText('A token has letters').waitFor();
  await giveToken(visit, 'wrong');
  await expect.poll(() => note.innerText()).toMatch(/the token is not this server's/);
  await note.getByRole('button', { name: 'Set the server' }).click();
  await expect.poll(() => dialogOf(visit).innerText()).toMatch(/does not take this token/);
  await giveToken(visit, 'sesame');
  await visit.examples();

  await visit.page.reload();
  await visit.examples();
  await visit.example(/^HTTP hello/);
  await visit.run();
  expect(await visit.verdict()).toBe('200');
  expect([visit.page.url(), ...addresses].filter((address) => /sesame|wrong/.test(address))).toEqual([]);
  await visit.close(FAILED);
});

test('a server that goes is missed, and noticed when it comes back', async () => {
  server = await Server.start();
  const visit = await Visit.open({}, server.address);
  const header = visit.page.getByRole('button', { name: /^Server/ });
  await visit.example(/^Sum of/);
  await server.stop();
  await visit.run();
  expect(await visit.verdict()).toBe('No answer');
  expect(await visit.result.innerText()).toContain(`No answer from ${server.address}`);
  expect(await header.innerText()).toMatch(/not reached/);
  await visit.drop({ name: 'late.wat', content: SUM });
  await visit.page
    .getByRole('listitem')
    .filter({ hasText: 'late.wat: the server cannot be reached' })
    .waitFor();

  await server.start();
  await visit.result.getByRole('button', { name: 'Run again' }).click();
  await expect.poll(() => visit.verdict()).toBe('Returned');
  await expect.poll(() => header.innerText()).toMatch(/v\d/);
  await visit.close(FAILED);
});

test('a server that does not answer is named, with what to do; another can be set', async () => {
  // Port 9 is the discard port: nothing listens there.
  const visit = await Visit.open({}, '/?server=http://127.0.0.1:9');
  await visit.page.getByText('The server cannot be reached').first().waitFor();
  expect(await visit.page.getByRole('main').innerText()).toMatch(/No answer from http:\/\/127\.0\.0\.1:9/);
  await visit.page.getByRole('button', { name: /^Server/ }).click();
  const dialog = dialogOf(visit);
  await dialog.getByLabel('Address').fill('not an address');
  await dialog.getByRole('button', { name: 'Use this server' }).click();
  await dialog.getByText('An address such as').waitFor();
  await dialog.getByLabel('Address').fill('');
  await dialog.getByRole('button', { name: 'Use this server' }).click();
  await visit.examples();
  expect(visit.page.url()).toBe(`${SERVER}/`);
  await visit.close(/ERR_UNSAFE_PORT|ERR_CONNECTION_REFUSED|Failed to load resource|CORS/);
});

test('a module that is larger than the server takes is refused with its bound', async () => {
  server = await Server.start('--module-bytes', '1000');
  const visit = await Visit.open({}, server.address);
  await visit.drop({ name: 'large.wat', content: `(module) ;; ${'x'.repeat(100_000)}` });
  const refusal = visit.page.getByRole('listitem').filter({ hasText: 'large.wat: it exceeds a bound' });
  await expect.poll(() => refusal.innerText()).toMatch(/more than 1000 bytes/);
  await visit.close(FAILED);
});
