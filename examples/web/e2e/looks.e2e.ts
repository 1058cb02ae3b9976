// How the page looks and is reached: by keyboard alone, light and dark, narrow and wide, and when no server answers.
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { extname } from 'node:path';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { launch, SERVER, Visit } from './browser';
import { SUM, TRAP } from './modules';

let browser: Browser;
beforeAll(async () => {
  browser = await launch();
});
afterAll(() => browser?.close());

const background = (visit: Visit) =>
  visit.page.evaluate(() => getComputedStyle(document.body).backgroundColor);
const lightness = (color: string) => Math.max(...(color.match(/\d+/g) ?? []).slice(0, 3).map(Number));

test('the first view says what this is, offers a place to drop, and has nothing axe objects to', async () => {
  const visit = await Visit.open(browser);
  await visit.page.getByText('Choose files').waitFor();
  await visit.page.getByRole('heading', { name: 'Or begin with an example' }).waitFor();
  await visit.shot('first-light');
  expect(await visit.axe()).toEqual([]);
  await visit.close();
});

test('a module is added and run without a mouse', async () => {
  const visit = await Visit.open(browser);
  const { keyboard } = visit.page;
  const focused = () => visit.page.evaluate(() => document.activeElement?.textContent?.trim() ?? '');
  const tabTo = async (what: RegExp) => {
    for (let step = 0; step < 60; step += 1) {
      await keyboard.press('Tab');
      if (what.test(await focused())) return;
    }
    throw new Error(`the focus never came to ${what}`);
  };
  await visit.page.getByRole('heading', { name: 'Or begin with an example' }).waitFor();
  await keyboard.press('Tab');
  expect(await focused()).toBe('Skip to the content');
  await keyboard.press('Enter');
  await tabTo(/^sum of (two|2) ints/i);
  await keyboard.press('Enter');
  await visit.page.getByRole('heading', { level: 1, name: 'sum_of_2_ints.wat' }).waitFor();

  const first = visit.argument(0);
  for (let step = 0; step < 60; step += 1) {
    if (await first.evaluate((field) => field === document.activeElement)) break;
    await keyboard.press('Tab');
  }
  const outline = await first.evaluate((field) => getComputedStyle(field).outlineStyle);
  expect(outline).toBe('solid');
  await keyboard.press('Control+A');
  await keyboard.type('70');
  await keyboard.press('Tab');
  await keyboard.press('Control+A');
  await keyboard.type('7');
  await keyboard.press('Control+Enter');
  expect(await visit.verdict()).toBe('Returned');
  expect(await visit.result.locator('pre').first().innerText()).toBe('77');
  await visit.close();
});

test('dark when the system is, and nothing loses its contrast', async () => {
  const visit = await Visit.open(browser, { colorScheme: 'dark' });
  expect(lightness(await background(visit))).toBeLessThan(60);
  await visit.page.getByRole('heading', { name: 'Or begin with an example' }).waitFor();
  await visit.shot('first-dark');
  expect(await visit.axe()).toEqual([]);
  await visit.add({ name: 'trap.wat', content: TRAP });
  await visit.argument(0).fill('1');
  await visit.run();
  expect(await visit.verdict()).toBe('Trapped');
  await visit.shot('trap-dark');
  expect(await visit.axe()).toEqual([]);
  await visit.close();
});

test('the colours can be chosen, and the choice outlives a reload', async () => {
  const visit = await Visit.open(browser, { colorScheme: 'dark' });
  await visit.page.getByRole('button', { name: 'Colours: system' }).click();
  expect(lightness(await background(visit))).toBeGreaterThan(200);
  await visit.page.reload();
  await visit.page.getByRole('button', { name: 'Colours: light' }).waitFor();
  expect(lightness(await background(visit))).toBeGreaterThan(200);
  await visit.close();
});

test('320 pixels are enough', async () => {
  const visit = await Visit.open(browser, { viewport: { width: 320, height: 640 } });
  await visit.page.getByRole('heading', { name: 'Or begin with an example' }).waitFor();
  expect(await visit.overflow()).toBe(0);
  await visit.shot('first-narrow');
  await visit.add({ name: 'sum.wat', content: SUM });
  await visit.argument(0).fill('1');
  await visit.argument(1).fill('2');
  await visit.run();
  expect(await visit.verdict()).toBe('Returned');
  await visit.page.getByText('Limits', { exact: true }).click();
  expect(await visit.overflow()).toBe(0);
  await visit.shot('result-narrow');
  expect(await visit.axe()).toEqual([]);
  await visit.close();
});

test('a server that does not answer is named, with what to do; another can be set', async () => {
  // Port 9 is the discard port: nothing listens there.
  const visit = await Visit.open(browser, {}, '/?server=http://127.0.0.1:9');
  await visit.page.getByText('The server cannot be reached').first().waitFor();
  expect(await visit.page.getByRole('main').innerText()).toMatch(/No answer from http:\/\/127\.0\.0\.1:9/);
  await visit.page.getByRole('button', { name: /^Server/ }).click();
  const dialog = visit.page.getByRole('dialog');
  await dialog.getByLabel('Address').waitFor();
  await visit.shot('server');
  expect(await visit.axe()).toEqual([]);
  await dialog.getByLabel('Address').fill('not an address');
  await dialog.getByRole('button', { name: 'Use this server' }).click();
  await dialog.getByText('An address such as').waitFor();
  await dialog.getByLabel('Address').fill('');
  await dialog.getByLabel('Token').fill('not in the address line');
  await dialog.getByRole('button', { name: 'Use this server' }).click();
  await visit.page.getByRole('heading', { name: 'Or begin with an example' }).waitFor();
  expect(visit.page.url()).not.toMatch(/server=|address%20line|token/);
  await visit.close(/ERR_UNSAFE_PORT|ERR_CONNECTION_REFUSED|Failed to load resource|CORS/);
});

test('a server that wants a token is given it, in a header only', async () => {
  const visit = await Visit.open(browser);
  const headers: (string | undefined)[] = [];
  await visit.page.route('**/v1/**', async (route) => {
    const given = route.request().headers().authorization;
    headers.push(given);
    if (given === 'Bearer open sesame') return route.continue();
    const problem = {
      title: 'Unauthorized',
      status: 401,
      detail: 'a bearer token is required',
      kind: 'unauthorized',
    };
    return route.fulfill({
      status: 401,
      contentType: 'application/problem+json',
      body: JSON.stringify(problem),
    });
  });
  await visit.page.reload();
  const note = visit.page.getByRole('main').locator('.note');
  await expect.poll(() => note.innerText()).toMatch(/This server wants a token/);
  expect(new Set(headers)).toEqual(new Set([undefined]));
  await note.getByRole('button', { name: 'Set the server' }).click();
  await visit.page.getByLabel('Token').fill('open sesame');
  await visit.page.getByRole('button', { name: 'Use this server' }).click();
  await visit.page.getByRole('heading', { name: 'Or begin with an example' }).waitFor();
  expect(visit.page.url()).not.toContain('sesame');
  await visit.page.reload();
  await visit.page.getByRole('heading', { name: 'Or begin with an example' }).waitFor();
  await visit.close(/Failed to load resource/);
});

test('the built page works from a folder of static hosting, and says what a server that refuses it needs', async () => {
  const host = createServer(async (request, response) => {
    const path = new URL(request.url ?? '/', 'http://host').pathname.replace(/^\/site\//, '') || 'index.html';
    const body = await readFile(new URL(`../dist/${path}`, import.meta.url)).catch(() => null);
    response.writeHead(body === null ? 404 : 200, { 'content-type': TYPES[extname(path)] ?? 'text/plain' });
    response.end(body);
  });
  await new Promise<void>((listening) => host.listen(0, '127.0.0.1', listening));
  const { port } = host.address() as AddressInfo;
  const visit = await Visit.open(browser, {}, `http://127.0.0.1:${port}/site/?server=${SERVER}`);
  const problem = visit.page.getByRole('main').locator('.note');
  await problem.waitFor();
  expect(await problem.innerText()).toContain(`http://127.0.0.1:${port} as an allowed origin`);
  await problem.getByRole('button', { name: 'Set the server' }).click();
  await visit.page.getByRole('dialog').getByLabel('Address').waitFor();
  await visit.page.keyboard.press('Escape');
  await expect.poll(() => visit.page.getByRole('dialog').count()).toBe(0);
  await visit.close(/CORS|Failed to load resource/);
  await new Promise((closed) => host.close(closed));
});

const TYPES: Record<string, string> = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.svg': 'image/svg+xml',
};
