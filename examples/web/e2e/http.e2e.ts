// A module's own HTTP handler, asked from the page: what is sent reaches it, what it answers is shown, and when it gives
// no answer, what it did instead.
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Visit } from './browser';

let visit: Visit;
let provoked: RegExp | null;
beforeEach(async () => {
  provoked = null;
  visit = await Visit.open();
  await visit.example(/^HTTP hello/);
});
afterEach(() => visit.close(provoked));

const form = () => visit.page.locator('form.call');
const body = () => visit.result.getByRole('region', { name: 'Body' }).locator('pre').innerText();

async function ask(path: string): Promise<string> {
  await form().getByLabel('Path').fill(path);
  await visit.run();
  return visit.verdict();
}

async function addHeader(at: number, name: string, value: string): Promise<void> {
  await form().getByRole('button', { name: 'Add header' }).click();
  await form().getByLabel(`header ${at}, name`).fill(name);
  await form().getByLabel(`header ${at}, value`).fill(value);
}

test('status, headers and body of its answer are read', async () => {
  provoked = /status of 404/;
  expect(await ask('/')).toBe('200');
  expect(await body()).toBe('Hello from wasm');
  const headers = visit.result.getByRole('table', { name: 'Headers' });
  expect(await headers.getByRole('row', { name: /^content-type/ }).innerText()).toMatch(/text\/plain/);
  await expect.poll(() => visit.page.locator('[aria-live]').innerText()).toMatch(/ answered 200 in /);
  expect(await ask('/status/404')).toBe('404');
  expect(await visit.result.getByRole('region', { name: 'Body' }).count()).toBe(0);
});

test('method, path, query and headers reach it', async () => {
  await form().getByLabel('Method').selectOption('DELETE');
  await addHeader(1, 'x-order', 'fünf');
  await addHeader(2, 'x-order', '6');
  expect(await ask('/headers?q=a b#c')).toBe('200');
  const seen = JSON.parse(await body());
  expect(seen).toMatchObject({ method: 'DELETE', path: '/headers?q=a%20b%23c' });
  expect(seen.headers).toContainEqual(['x-order', expect.stringMatching(/^f.+nf, 6$/)]);
});

test('a body goes there and back as it was typed', async () => {
  expect(await form().getByRole('textbox', { name: 'Body' }).count()).toBe(0);
  await form().getByLabel('Method').selectOption('POST');
  await form().getByRole('textbox', { name: 'Body' }).fill('zwölf Boxkämpfer,\n日本');
  expect(await ask('/echo')).toBe('200');
  expect(await body()).toBe('zwölf Boxkämpfer,\n日本');
});

test('no limit is offered, for the server takes none for it', async () => {
  expect(await visit.page.getByText('Limits', { exact: true }).count()).toBe(0);
});

test('one that traps before its answer shows the backtrace, its output and its cost', async () => {
  provoked = /status of 502/;
  expect(await ask('/trap')).toBe('Trapped');
  const rows = await visit.result
    .getByRole('table', { name: /Backtrace/ })
    .getByRole('row')
    .allInnerTexts();
  expect(rows.at(-1)).toContain('wasi:http/incoming-handler');
  const stderr = visit.result.getByRole('region', { name: 'Standard error' });
  expect(await stderr.locator('pre').innerText()).toContain('before the head');
  expect(await visit.cost('Peak memory')).toMatch(/MiB$/);
  expect(await ask('/silent')).toBe('Failed');
  expect(await visit.result.innerText()).toContain('without setting a response');
});

test('one that breaks off is not taken for a server that is gone', async () => {
  provoked = /ERR_|Failed to load resource/;
  expect(await ask('/trap-late')).toMatch(/^(No answer|200)$/);
  expect(await visit.result.innerText()).toMatch(/did not arrive|broke off/);
  expect(await visit.page.getByRole('button', { name: /^Server/ }).innerText()).toMatch(/v\d/);
});

test('one that spins can be cancelled', async () => {
  await form().getByLabel('Path').fill('/spin');
  await visit.run();
  await form().getByRole('button', { name: 'Cancel' }).click();
  expect(await visit.verdict()).toBe('Stopped');
});

test('a path that a browser would change is not sent: it could reach another call of the server', async () => {
  const asked: string[] = [];
  visit.page.on('request', (request) => asked.push(request.url()));
  await form().getByLabel('Path').fill('/../call');
  await visit.run();
  await form().getByText('A browser does not send').waitFor();
  expect(await form().getByLabel('Path').getAttribute('aria-invalid')).toBe('true');
  expect(await visit.result.locator('.verdict').count()).toBe(0);
  expect(asked).toEqual([]);
});
