// The server's files in a real browser: looked at, sent, fetched, made and removed; and what a run changed in them, by a guest
// that writes with `std::fs`.
import { readFile } from 'node:fs/promises';
import type { Locator } from 'playwright-core';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { SERVER, Visit } from './browser';
import { guest } from './modules';

// What Chromium itself writes when a server answers with an error status.
const REFUSED = /Failed to load resource/;

let visit: Visit;
let provoked: RegExp | null;
beforeEach(async () => {
  provoked = null;
  visit = await Visit.open({}, '/#/files');
});
afterEach(async () => {
  await visit.close(provoked);
  for (const { name } of await listed('')) await remove(name);
});

const files = (path: string) => `${SERVER}/v1/files/${path}`;
const main = () => visit.page.getByRole('main');
const row = (name: string) =>
  main()
    .locator('tbody tr')
    .filter({ has: visit.page.locator('th').getByText(name, { exact: true }) });
const has = (control: Locator) => control.evaluate((element) => element === document.activeElement);

async function listed(path: string): Promise<{ name: string; size?: number }[]> {
  const answer = await fetch(files(path === '' ? '' : `${path}/`));
  return ((await answer.json()) as { entries: { name: string; size?: number }[] }).entries;
}

async function write(path: string, text: string): Promise<void> {
  expect((await fetch(files(path), { method: 'PUT', body: text })).status).toBeLessThan(300);
}

async function remove(name: string): Promise<void> {
  await fetch(`${files(encodeURIComponent(name))}?recursive=true`, { method: 'DELETE' });
}

async function text(path: string): Promise<string> {
  return (await fetch(files(path))).text();
}

async function come(path: string): Promise<void> {
  await visit.page.goto(`${SERVER}/#/files${path === '' ? '' : `/${path}`}`);
  // Where it was there already, it is listed anew.
  await visit.page.reload();
  await visit.page.getByRole('heading', { level: 1, name: path.split('/').at(-1) || 'Files' }).waitFor();
}

test('a folder is made, entered, filled by a drop and a button, and emptied again', async () => {
  await main().getByText('Nothing is here yet.').waitFor();
  await main().getByRole('button', { name: 'New folder' }).click();
  await visit.page.keyboard.type('a/b');
  await main().getByText('A name has no /.').waitFor();
  await main().getByLabel('Name of the folder').fill('shop & more');
  await visit.page.keyboard.press('Enter');
  await main().getByRole('link', { name: 'shop & more' }).click();
  await visit.page.getByRole('heading', { level: 1, name: 'shop & more' }).waitFor();
  await main().getByText('Nothing is here yet.').waitFor();

  await visit.drop({ name: 'one.txt', content: 'one' }, { name: 'ä "b" #%2F?.txt', content: 'odd' });
  await row('one.txt').waitFor();
  await row('ä "b" #%2F?.txt').waitFor();
  const large = 'x'.repeat(300_000);
  await main()
    .locator('input[type=file]')
    .setInputFiles({ name: 'large.bin', mimeType: 'text/plain', buffer: Buffer.from(large) });
  await row('large.bin').waitFor();
  expect((await row('large.bin').innerText()).replaceAll('\u00a0', ' ')).toContain('293 KiB');
  await main().getByText('3 entries').waitFor();
  expect(await text(`${encodeURIComponent('shop & more')}/large.bin`)).toBe(large);

  const [download] = await Promise.all([
    visit.page.waitForEvent('download'),
    row('ä "b" #%2F?.txt')
      .getByRole('button', { name: /^Download/ })
      .click(),
  ]);
  expect(download.suggestedFilename()).toMatch(/^ä/);
  expect(await readFile(await download.path(), 'utf8')).toBe('odd');

  await row('one.txt').getByRole('button', { name: 'Delete one.txt' }).click();
  await row('one.txt').getByRole('button', { name: 'Keep' }).click();
  await row('one.txt').getByRole('button', { name: 'Delete one.txt' }).click();
  await row('one.txt').getByRole('button', { name: 'Delete it' }).click();
  await expect.poll(() => row('one.txt').count()).toBe(0);
  expect((await listed(encodeURIComponent('shop & more'))).map(({ name }) => name)).toEqual([
    'large.bin',
    'ä "b" #%2F?.txt',
  ]);

  const crumbs = main().getByRole('navigation', { name: 'The way to this folder' });
  await crumbs.getByRole('link', { name: 'Files' }).click();
  await visit.page.getByRole('heading', { level: 1, name: 'Files' }).waitFor();
  await row('shop & more').getByRole('button', { name: 'Delete' }).click();
  await row('shop & more').getByRole('button', { name: 'Delete all of it' }).click();
  await main().getByText('Nothing is here yet.').waitFor();
  expect(await listed('')).toEqual([]);
});

test('a file is not replaced before somebody says so', async () => {
  await write('shop/a.txt', 'old');
  await come('shop');
  await row('a.txt').waitFor();
  await visit.drop({ name: 'a.txt', content: 'new' }, { name: 'b.txt', content: 'b' });
  await row('b.txt').waitFor();
  const asking = main().locator('.note').filter({ hasText: 'a.txt is there already' });
  await asking.waitFor();
  expect(await text('shop/a.txt')).toBe('old');
  await asking.getByRole('button', { name: /^Keep what is there/ }).click();
  await expect.poll(() => asking.count()).toBe(0);
  expect(await text('shop/a.txt')).toBe('old');
  await visit.drop({ name: 'a.txt', content: 'new' });
  await asking.getByRole('button', { name: /^Replace it/ }).click();
  await expect.poll(() => text('shop/a.txt')).toBe('new');
  await expect.poll(() => asking.count()).toBe(0);
});

test('a long folder comes page by page', async () => {
  const names = Array.from({ length: 205 }, (_, at) => `f${String(at).padStart(3, '0')}`);
  for (const name of names) await write(`many/${name}`, 'x');
  await come('many');
  await main().getByText('200 entries').waitFor();
  expect(await row('f204').count()).toBe(0);
  await main().getByRole('button', { name: 'Show more entries' }).click();
  await row('f204').waitFor();
  await main().getByText('205 entries').waitFor();
  // Listed anew, it is as long as it was.
  await row('f203').getByRole('button', { name: 'Delete' }).click();
  await row('f203').getByRole('button', { name: 'Delete it' }).click();
  await main().getByText('204 entries').waitFor();
  await row('f204').waitFor();
});

test('what is not there, or in the way, is told and leads on', async () => {
  provoked = REFUSED;
  await come('absent');
  await main().getByText('/absent is not there').waitFor();
  await main().getByRole('link', { name: 'Go to the folder above' }).click();
  await visit.page.getByRole('heading', { level: 1, name: 'Files' }).waitFor();
  await come('absent');
  await main().getByText('/absent is not there').waitFor();
  await write('absent/a', 'x');
  await main().getByRole('button', { name: 'Try again' }).click();
  await row('a').waitFor();
  // A file where a folder would be.
  await come('absent/a');
  await main().getByText('/absent/a is no directory').waitFor();
  await come('absent');
  await fetch(`${files('absent/a')}`, { method: 'DELETE' });
  await row('a').getByRole('button', { name: 'Download' }).click();
  await main().getByText('/absent/a is not there').waitFor();
  await main()
    .getByRole('button', { name: /^Dismiss/ })
    .click();
  await expect.poll(() => main().getByText('/absent/a is not there').count()).toBe(0);
});

test('without a mouse: to the files, into a folder, a new one in it, and a delete that is taken back', async () => {
  await write('shop/a.txt', 'x');
  await come('');
  const press = (key: string) => visit.page.keyboard.press(key);
  await visit.tabTo(
    visit.page.getByRole('navigation', { name: 'Modules' }).getByRole('link', { name: /^Files/ }),
  );
  await visit.tabTo(row('shop').getByRole('link'));
  await press('Enter');
  await visit.page.getByRole('heading', { level: 1, name: 'shop' }).waitFor();
  await row('a.txt').waitFor();
  expect(await visit.page.evaluate(() => document.activeElement?.id)).toBe('main');
  const fresh = main().getByRole('button', { name: 'New folder' });
  await visit.tabTo(fresh);
  await press('Enter');
  await press('Escape');
  expect(await has(fresh)).toBe(true);
  await press('Enter');
  await visit.page.keyboard.type('below');
  await press('Enter');
  await row('below').waitFor();
  await expect.poll(() => has(fresh)).toBe(true);
  await visit.tabTo(main().locator('input[type=file]'));
  await visit.tabTo(row('a.txt').getByRole('button', { name: 'Delete a.txt' }));
  await press('Enter');
  expect(await visit.focused()).toBe('Delete it');
  await visit.tabTo(row('a.txt').getByRole('button', { name: 'Keep' }));
  await press('Enter');
  expect(await visit.focused()).toBe('Delete a.txt');
  await press('Enter');
  await press('Enter');
  await expect.poll(() => row('a.txt').count()).toBe(0);
  expect(await visit.page.evaluate(() => document.activeElement?.tagName)).toBe('H1');
});

/** Opens the guest that does to files what its standard input says. */
async function writer(): Promise<string> {
  return visit.addNamed('e2e-writer', guest('files-p2.wasm'), 'wasi:cli/run@0.2.0');
}

async function run(steps: unknown): Promise<string> {
  await visit.page.getByLabel('Standard input').fill(JSON.stringify(steps));
  await visit.run();
  return visit.verdict();
}

test('a module is offered the files of its own name; what it changed there is told, with the way to it', async () => {
  await writer();
  // Its grants are offered in its own name.
  await visit.page.locator('#grants > summary').click();
  await visit.page.locator('#lends-fs > summary').click();
  await visit.page
    .locator('#lends-fs')
    .getByRole('button', { name: /^Put it into the grants/ })
    .click();
  const editor = visit.page.getByLabel('Grants as JSON');
  expect(JSON.parse(await editor.inputValue())).toEqual({
    fs: { mounts: { '/data': { prefix: 'e2e-writer' } } },
  });
  await visit.page.getByRole('button', { name: 'Grant this' }).click();
  await visit.page.getByText(/^Granted to version/).waitFor();

  await write('e2e-writer/old.txt', 'old');
  await write('e2e-writer/gone.txt', 'gone');
  const steps = [
    ['mkdirs', '/data/orders'],
    ['put', '/data/orders/1.txt', 'one'],
    ['put', '/data/old.txt', 'new'],
    ['rm', '/data/gone.txt'],
  ];
  expect(await run(steps)).toBe('Returned');
  const told = visit.result.getByRole('region', { name: 'Files' });
  const paths = (title: string) =>
    told.getByRole('list', { name: title }).getByRole('listitem').allInnerTexts();
  expect(await paths('Added')).toEqual(['/data/orders', '/data/orders/1.txt']);
  expect(await paths('Changed')).toEqual(['/data/old.txt']);
  expect(await paths('Removed')).toEqual(['/data/gone.txt']);
  expect((await visit.cost('fs')).replaceAll('\u00a0', ' ')).toContain('committed 6 B');
  await visit.shot('files-changed');

  await told.getByRole('link', { name: '/data/orders/1.txt' }).click();
  await visit.page.getByRole('heading', { level: 1, name: 'orders' }).waitFor();
  await row('1.txt').waitFor();
  expect(await row('1.txt').getAttribute('aria-current')).toBe('true');
  expect(await text('e2e-writer/orders/1.txt')).toBe('one');
  await visit.shot('files-after-a-run');
  await visit.page.goBack();
  await told.getByRole('link', { name: '/data/gone.txt' }).click();
  await visit.page.getByRole('heading', { level: 1, name: 'e2e-writer' }).waitFor();
  await row('old.txt').waitFor();
  expect(await row('gone.txt').count()).toBe(0);
});

test('a run that does not return has changed nothing, and says nothing of files', async () => {
  const ref = await writer();
  const grants = JSON.stringify({ fs: { mounts: { '/data': { prefix: 'e2e-writer' } } } });
  await fetch(`${SERVER}/v1/modules/${ref}/grants`, { method: 'PUT', body: grants });
  expect(await run([['put', '/data/a', 'x'], ['panic']])).not.toBe('Returned');
  expect(await visit.result.getByRole('region', { name: 'Files' }).count()).toBe(0);
  expect(await listed('')).toEqual([]);
});
