// What a module asks for, what it is granted, and in what words to grant the rest: with the real server, whose grants
// decide whether the calls run.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Locator } from 'playwright-core';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { SERVER, Visit } from './browser';
import { COMMAND, guest, inOtherBytes, manyImports, NEEDS_IMPORT, SUM } from './modules';
import { Server } from './server';

// What Chromium itself writes when a server answers with an error status.
const REFUSED = /Failed to load resource/;
const COUNTER = guest('kv-counter.wasm');
const keys = (namespace: string) => ({ kv: { stores: { default: { namespace } } } });
const SHOP = keys('shop');
// What the page offers to a module of this name.
const OWN = keys('e2e-counter');

let visit: Visit;
let provoked: RegExp | null;
beforeEach(async () => {
  provoked = null;
  visit = await Visit.open();
});
afterEach(() => visit.close(provoked));

const asks = () => visit.page.locator('#asks');
const grants = () => visit.page.locator('#grants');
const group = (title: string) => asks().locator('.ask-group').filter({ hasText: title });
const editor = () => grants().getByLabel('Grants as JSON');
const status = () => grants().locator('.grant-status');
const has = (control: Locator) => control.evaluate((element) => element === document.activeElement);
const copy = (at: Visit) =>
  at.page.evaluate(() => navigator.clipboard.readText()).then((text) => text.replaceAll('\r\n', '\n'));

async function grantedTo(ref: string): Promise<unknown> {
  const answer = await fetch(`${SERVER}/v1/modules/${ref}/grants`);
  return ((await answer.json()) as { grants: unknown }).grants;
}

async function grant(ref: string, what: unknown): Promise<void> {
  const put = { method: 'PUT', body: JSON.stringify(what), headers: { 'content-type': 'application/json' } };
  expect((await fetch(`${SERVER}/v1/modules/${ref}/grants`, put)).status).toBe(200);
}

/** A server of its own with secrets, which it reads when it starts. */
async function serverWith(secrets: string): Promise<Server> {
  const folder = await mkdtemp(join(tmpdir(), 'runner-web-secrets-'));
  const file = join(folder, 'secrets');
  await writeFile(file, secrets, { mode: 0o600 });
  const server = await Server.start('--secrets', file);
  await rm(folder, { recursive: true });
  return server;
}

/** Calls `add` of the counter in view; what it returned, where it did. */
async function count(): Promise<string> {
  await visit.argument(0).fill('default');
  await visit.argument(1).fill('visits');
  await visit.argument(2).fill('1');
  await visit.run();
  const verdict = await visit.verdict();
  return verdict === 'Returned' ? visit.result.locator('pre').first().innerText() : verdict;
}

test('what is missing is granted by its own words, then it runs; what is taken back is refused again', async () => {
  provoked = REFUSED;
  const ref = await visit.addNamed('e2e-counter', COUNTER, 'add');
  await asks().getByText('2 of 2 imports missing').waitFor();
  expect(await count()).toBe('Not run');
  expect(await visit.result.innerText()).toContain('It lacks something that it imports');
  await visit.result.getByRole('button', { name: 'Go to its grants' }).click();
  await expect.poll(() => has(grants().locator('summary').first())).toBe(true);
  expect(await status().innerText()).toBe('Nothing is granted to version 1 of e2e-counter.');

  const needed = group('Needs a grant');
  await needed.getByText('wasi:keyvalue/store@0.2.0-draft2').click();
  await needed.getByText('[method]bucket.get', { exact: true }).waitFor();
  expect(JSON.parse(await needed.locator('pre').innerText())).toEqual(OWN);
  await needed.getByRole('button', { name: 'Put it into the grants' }).click();
  await expect.poll(() => has(editor())).toBe(true);
  expect(JSON.parse(await editor().inputValue())).toEqual(OWN);
  expect(await grantedTo(ref)).toEqual({});

  await grants().getByRole('button', { name: 'Grant this' }).click();
  await expect.poll(() => status().innerText()).toMatch(/^Granted to version 1 of e2e-counter, since /);
  await expect.poll(() => has(status())).toBe(true);
  expect(await grantedTo(ref)).toEqual(OWN);
  await group('Granted').getByText('wasi:keyvalue/atomics@0.2.0-draft2').waitFor();
  expect(await group('Needs a grant').count()).toBe(0);
  const first = Number(await count());
  expect(first).toBeGreaterThan(0);
  expect(await count()).toBe(String(first + 1));

  await grants().getByRole('button', { name: 'Take back all' }).click();
  await grants().getByRole('button', { name: 'Keep' }).click();
  expect(await grantedTo(ref)).toEqual(OWN);
  await grants().getByRole('button', { name: 'Take back all' }).click();
  await grants().getByRole('button', { name: 'Take back all of it' }).click();
  await expect.poll(() => status().innerText()).toMatch(/^Nothing is granted/);
  await expect.poll(() => has(status())).toBe(true);
  expect(await grantedTo(ref)).toEqual({});
  expect(await count()).toBe('Not run');
});

test('two modules that are granted what the page offers share no key', async () => {
  for (const name of ['e2e-one', 'e2e-two']) {
    const ref = await visit.addNamed(name, COUNTER, 'add');
    await group('Needs a grant').getByRole('button', { name: 'Put it into the grants' }).click();
    await grants().getByRole('button', { name: 'Grant this' }).click();
    await expect.poll(() => status().innerText()).toMatch(/^Granted/);
    expect(await grantedTo(ref)).toEqual(keys(name));
    expect(await count()).toBe('1');
  }
});

test('grants that somebody else took back are noticed by the refusal, and what was being written stays', async () => {
  provoked = REFUSED;
  const ref = await visit.store('e2e-counter', COUNTER);
  await grant(ref, SHOP);
  await visit.page.goto(`${SERVER}/#/modules/${ref}/add`);
  await grants().locator('summary').first().click();
  await expect.poll(() => status().innerText()).toMatch(/^Granted/);
  await editor().fill('{ "logging": {} }');
  await fetch(`${SERVER}/v1/modules/${ref}/grants`, { method: 'DELETE' });
  expect(await count()).toBe('Not run');
  await expect.poll(() => status().innerText()).toMatch(/^Nothing is granted/);
  await asks().getByText('2 of 2 imports missing').waitFor();
  expect(await editor().inputValue()).toBe('{ "logging": {} }');
});

test('what somebody else granted meanwhile is shown and not granted over, and what was being written stays', async () => {
  provoked = REFUSED;
  const ref = await visit.addNamed('e2e-counter', COUNTER, 'add');
  await expect.poll(() => status().innerText()).toMatch(/^Nothing is granted/);
  await editor().fill(JSON.stringify(OWN));
  await grant(ref, { logging: { level: 'info' } });
  const save = () => grants().getByRole('button', { name: 'Grant this' }).click();
  await save();
  await grants()
    .getByText(/^Not granted: /)
    .waitFor();
  await expect.poll(() => status().innerText()).toMatch(/^Granted to version/);
  expect(await grantedTo(ref)).toEqual({ logging: { level: 'info' } });
  expect(JSON.parse(await editor().inputValue())).toEqual(OWN);
  // Now it was seen.
  await save();
  await expect.poll(() => grantedTo(ref)).toEqual(OWN);
});

test('new bytes under a name start without, are told what the old ones had, and get it by one click', async () => {
  provoked = REFUSED;
  await grant(await visit.store('e2e-counter', COUNTER), SHOP);
  const ref = await visit.addNamed('e2e-counter', inOtherBytes(COUNTER), 'add');
  const note = grants().locator('.note.warn');
  await note.getByText(/^Version \d+ has other bytes than version \d+, which was granted:$/).waitFor();
  expect(JSON.parse(await note.locator('pre').innerText())).toEqual(SHOP);
  expect(await count()).toBe('Not run');
  expect(await grantedTo(ref)).toEqual({});

  await note.getByRole('button', { name: 'Change it first' }).click();
  expect(JSON.parse(await editor().inputValue())).toEqual(SHOP);
  expect(await grantedTo(ref)).toEqual({});
  await grants().getByRole('button', { name: 'Back to what is granted' }).click();
  expect(await editor().inputValue()).toBe('{}');

  await note.getByRole('button', { name: /^Grant the same to version/ }).click();
  await expect.poll(() => note.count()).toBe(0);
  await expect.poll(() => has(status())).toBe(true);
  expect(await grantedTo(ref)).toEqual(SHOP);
  expect(Number(await count())).toBeGreaterThan(0);
});

test('a wrong grant is refused in the server’s words, at the field, and changes nothing', async () => {
  provoked = REFUSED;
  const ref = await visit.addNamed('e2e-counter', COUNTER, 'add');
  const fault = () => grants().locator('.field .fault').innerText();
  const save = () => grants().getByRole('button', { name: 'Grant this' }).click();

  await editor().fill('{ "kv": ');
  expect(await fault()).toContain('Not JSON: expected a value');
  await save();
  await expect.poll(() => has(editor())).toBe(true);

  const backend = { kv: { stores: { default: { namespace: 'shop', backend: 'redis' } } } };
  for (const [text, words] of [
    [JSON.stringify(backend), 'the grant puts store default on backend redis'],
    ['{ "files": {} }', 'grant for files: no such capability'],
    ['{ "kv": { "stores": { "default": { "mod": 1 } } } }', 'does not fit its schema: unknown field mod'],
  ] as const) {
    await editor().fill(text);
    await save();
    await expect.poll(fault).toContain(words);
    expect(await editor().getAttribute('aria-invalid')).toBe('true');
    const told = await editor().getAttribute('aria-describedby');
    expect(await grants().locator(`[id="${told}"]`).innerText()).toContain(words);
    await expect.poll(() => has(editor())).toBe(true);
    expect(await editor().inputValue()).toBe(text);
  }
  // What the server said was about that text, not about the next one.
  await editor().fill('{}');
  expect(await grants().locator('.fault').count()).toBe(0);
  expect(await grantedTo(ref)).toEqual({});
});

test('what there is to grant is described with its fields; an example goes beside what is typed', async () => {
  await visit.addNamed('e2e-counter', COUNTER);
  await group('Needs a grant').getByRole('button', { name: 'What kv takes' }).click();
  const kv = grants().locator('#lends-kv');
  await expect.poll(() => has(kv.locator('summary').first())).toBe(true);
  const mode = kv.locator('.fields > div').filter({ hasText: 'stores.*.mode' });
  expect(await mode.innerText()).toMatch(
    /"read-write" or "read-only"\s+Whether the program may write\. Default: "read-write"\./,
  );
  const namespace = kv.locator('.fields > div').filter({ hasText: 'stores.*.namespace' });
  expect(await namespace.innerText()).toContain('required');
  expect(JSON.parse(await kv.locator('pre').innerText())).toEqual(OWN);
  expect(await kv.innerText()).toContain(
    'Modules with the same namespace share what is kept there: this one begins with e2e-counter, its own name.',
  );

  await editor().fill('{ "kv": { "stores": {} } }');
  await grants().locator('#lends-logging summary').click();
  await grants()
    .locator('#lends-logging')
    .getByRole('button', { name: /^Put it into the grants/ })
    .click();
  expect(JSON.parse(await editor().inputValue())).toEqual({ kv: { stores: {} }, logging: { level: 'info' } });
  // What stands there is somebody's: an example does not replace it.
  await kv.getByRole('button', { name: /^Put it into the grants/ }).click();
  expect(JSON.parse(await editor().inputValue())).toHaveProperty('kv', { stores: {} });
});

test('secrets are listed by their names, and never by more', async () => {
  const server = await serverWith('API_KEY=hunter2\nOTHER=hunter3\n');
  await fetch(`${server.address}/v1/modules/hello`, { method: 'PUT', body: guest('http-hello.wasm') });
  const other = await Visit.open({}, `${server.address}/#/modules/hello@1`);
  await other.page.locator('#grants > summary').click();
  await other.page.locator('#lends-http > summary').click();
  const names = other.page.getByRole('list', { name: 'Secrets' }).getByRole('listitem');
  expect(await names.allInnerTexts()).toEqual(['API_KEY', 'OTHER']);
  expect(await other.page.content()).not.toContain('hunter');
  await other.close();
  await server.end();

  // This one was started without any.
  await visit.addNamed('e2e-hello', guest('http-hello.wasm'));
  await grants().locator('summary').first().click();
  await grants().locator('#lends-http > summary').click();
  await grants().getByText('This server has no secrets to lend').waitFor();
});

test('a module without a name is given one, and keeps what was typed', async () => {
  provoked = REFUSED;
  await visit.add({ name: 'Kv Counter.wasm', content: COUNTER });
  await visit.page.getByRole('link', { name: /^add\(/ }).click();
  expect(await count()).toBe('Not run');
  await group('Needs a grant').getByRole('button', { name: 'Give it a name, to grant it' }).click();
  expect(await grants().innerText()).toContain('known by its bytes alone');
  const name = grants().getByRole('textbox', { name: 'Name' });
  expect(await name.inputValue()).toBe('kv-counter');
  await name.fill('No Name');
  await grants()
    .getByText(/^Small letters and digits/)
    .waitFor();
  await grants().getByRole('button', { name: 'Store under this name' }).click();
  await expect.poll(() => has(name)).toBe(true);
  await name.fill('e2e-named');
  await grants().getByRole('button', { name: 'Store under this name' }).click();
  await visit.page.getByRole('heading', { level: 1, name: 'e2e-named@' }).waitFor();
  expect(await visit.argument(1).inputValue()).toBe('visits');
  // Once in the list: the server has no other name for these bytes.
  const side = visit.page.getByRole('navigation', { name: 'Modules' });
  expect(await side.getByRole('link', { name: 'Kv Counter.wasm' }).count()).toBe(0);
  await group('Needs a grant').getByRole('button', { name: 'Put it into the grants' }).click();
  await grants().getByRole('button', { name: 'Grant this' }).click();
  await expect.poll(() => status().innerText()).toMatch(/^Granted/);
  expect(Number(await count())).toBeGreaterThan(0);
});

test('after a reload the page has the bytes no more: the file is chosen again; the same bytes make no new version', async () => {
  const ref = await visit.store('e2e-again', COUNTER);
  await visit.add({ name: 'again.wasm', content: inOtherBytes(COUNTER) });
  await visit.page.reload();
  await grants().getByRole('textbox', { name: 'Name' }).fill('e2e-again');
  const chooser = visit.page.waitForEvent('filechooser');
  await grants().getByText('Choose its file').click();
  const file = { name: 'again.wasm', mimeType: 'application/wasm', buffer: Buffer.from(COUNTER) };
  await (await chooser).setFiles([file]);
  await visit.page.getByRole('heading', { level: 1, name: ref, exact: true }).waitFor();
  await expect
    .poll(() => visit.page.locator('output[aria-live]').innerText())
    .toBe(`Stored as ${ref}, with other bytes than those that were in view`);
});

test('the whole way without a mouse: denied, to the grants, an example, granted, run, taken back', async () => {
  provoked = REFUSED;
  const press = (key: string) => visit.page.keyboard.press(key);
  const enter = async (control: Locator) => {
    await visit.tabTo(control);
    await press('Enter');
  };
  const ref = await visit.addNamed('e2e-keys', COUNTER, 'add');
  for (const [at, text] of ['default', 'keys', '1'].entries()) {
    await visit.tabTo(visit.argument(at));
    await visit.page.keyboard.type(text);
  }
  await press('Control+Enter');
  expect(await visit.verdict()).toBe('Not run');
  await enter(visit.result.getByRole('button', { name: 'Go to its grants' }));
  await expect.poll(() => has(grants().locator('summary').first())).toBe(true);
  const runs = visit.page.getByRole('region', { name: 'History' }).getByRole('button');
  expect(await runs.count()).toBe(1);

  await enter(group('Needs a grant').getByRole('button', { name: 'Put it into the grants' }));
  await expect.poll(() => has(editor())).toBe(true);
  // In the editor these keys grant: they do not run the call.
  await press('Control+Enter');
  await expect.poll(() => status().innerText()).toMatch(/^Granted/);
  await expect.poll(() => has(status())).toBe(true);
  expect(await runs.count()).toBe(1);
  expect(await grantedTo(ref)).toEqual(keys('e2e-keys'));

  await enter(grants().getByRole('button', { name: 'Take back all' }));
  expect(await visit.focused()).toBe('Take back all of it');
  await enter(grants().getByRole('button', { name: 'Keep' }));
  expect(await visit.focused()).toMatch(/^Take back all that e2e-keys@\d+ is granted$/);
  await press('Enter');
  await press('Enter');
  await expect.poll(() => status().innerText()).toMatch(/^Nothing is granted/);
  await expect.poll(() => has(status())).toBe(true);
});

test('an example that works with grants is stored under its name with them in the editor, granted only by a click', async () => {
  provoked = REFUSED;
  await visit.examples();
  const { title, grants: suggested } = await visit.exampleOf('counter.wasm');
  expect(suggested).toHaveProperty('kv');
  const ref = (await visit.page.getByRole('heading', { level: 1 }).innerText()).trim();
  expect(ref).toMatch(/^counter@\d+$/);
  await grants()
    .getByText(/^The example works with these grants/)
    .waitFor();
  expect(JSON.parse(await editor().inputValue())).toEqual(suggested);
  expect(await grantedTo(ref)).toEqual({});
  await visit.run();
  expect(await visit.verdict()).toBe('Not run');
  // The refusal brings nothing that was not there: the suggestion stands.
  expect(JSON.parse(await editor().inputValue())).toEqual(suggested);
  await grants().getByRole('button', { name: 'Grant this' }).click();
  await expect.poll(() => status().innerText()).toMatch(/^Granted/);
  expect(await grantedTo(ref)).toEqual(suggested);
  await visit.run();
  expect(await visit.verdict()).toBe('Returned');

  // Once more: the same version, for it is the same bytes, and nothing is suggested that is granted.
  await visit.page.getByText('Examples', { exact: true }).click();
  await visit.page.getByRole('button', { name: `${title} counter.wasm` }).click();
  await expect.poll(() => visit.page.locator('output[aria-live]').innerText()).toBe(`${title} added`);
  expect((await visit.page.getByRole('heading', { level: 1 }).innerText()).trim()).toBe(ref);
  expect(
    await grants()
      .getByText(/^The example works with/)
      .count(),
  ).toBe(0);
});

test('the examples that keep something run once they are granted what they come with', async () => {
  const granted = async (file: string) => {
    await visit.page.goto(`${SERVER}/#/`);
    await visit.examples();
    await visit.exampleOf(file);
    await grants().getByRole('button', { name: 'Grant this' }).click();
    await expect.poll(() => status().innerText()).toMatch(/^Granted/);
    await visit.run();
    return visit.verdict();
  };
  expect(await granted('limiter.wasm')).toBe('Returned');
  expect(await granted('site.wasm')).toBe('200');
});

test('a webhook is granted a host and a secret in the editor, and sends it without having it', async () => {
  const server = await serverWith('WEBHOOK_TOKEN=hunter2\n');
  const other = await Visit.open({}, server.address);
  const part = other.page.locator('#grants');
  // It asks another example by its name, under which that one is stored.
  await other.example(/^HTTP hello/);
  await other.page.getByRole('heading', { level: 1, name: 'http-hello@1' }).waitFor();

  await other.page.goto(`${server.address}/#/`);
  await other.examples();
  await other.exampleOf('webhook.wasm');
  const text = part.getByLabel('Grants as JSON');
  await text.fill((await text.inputValue()).replaceAll('8080', new URL(server.address).port));
  await part.getByRole('button', { name: 'Grant this' }).click();
  await expect.poll(() => part.locator('.grant-status').innerText()).toMatch(/^Granted/);
  await other.run();
  expect(await other.verdict()).toBe('Returned');
  expect(await other.page.content()).not.toContain('hunter2');
  await other.close();
  await server.end();
});

test('the summariser is granted a host in the editor, and reads the page that lies there', async () => {
  await visit.examples();
  await visit.exampleOf('summarise.wasm');
  expect(JSON.parse(await editor().inputValue())).toEqual({ http: { allow: [{ host: 'example.com' }] } });
  const port = Number(new URL(SERVER).port);
  const here = { scheme: 'http', host: '127.0.0.1', port, addresses: ['127.0.0.1'] };
  await editor().fill(JSON.stringify({ http: { allow: [here] } }));
  await grants().getByRole('button', { name: 'Grant this' }).click();
  await expect.poll(() => status().innerText()).toMatch(/^Granted/);
  // As it comes it asks a host that was not granted.
  await visit.run();
  expect(await visit.verdict()).toBe('Failed');
  await visit.argument(0).fill(`${SERVER}/`);
  await visit.run();
  expect(await visit.verdict()).toBe('Returned');
  expect(await visit.result.locator('pre').first().innerText()).toContain('"title": "Runner"');
});

test('what is always there, closed, or served by nobody is told apart, and folds', async () => {
  await visit.add({ name: 'command.wat', content: COMMAND });
  await asks().locator('summary').first().click();
  const always = group('Always there');
  await always.getByText('wasi_snapshot_preview1').click();
  await always.getByText('fd_write', { exact: true }).waitFor();

  await visit.add({ name: 'needs.wat', content: NEEDS_IMPORT });
  expect(await group('Not served here').innerText()).toContain('Nothing that this host lends serves it');
  expect(await group('Not served here').getByRole('button').count()).toBe(0);

  await visit.addNamed('e2e-hello', guest('http-hello.wasm'));
  await asks().locator('summary').first().click();
  expect(await always.getByText('wasi:io/poll@0.2').isVisible()).toBe(false);
  await always.locator('summary').first().click();
  await always.getByText('wasi:io/poll@0.2').waitFor();
  const closed = group('Closed');
  expect(await closed.innerText()).toMatch(/each use is answered with the interface's own refusal:/);
  expect(JSON.parse(await closed.locator('pre').innerText())).toHaveProperty('http.allow');
  await closed.getByRole('button', { name: 'What http takes' }).click();
  await expect.poll(() => has(grants().locator('#lends-http > summary'))).toBe(true);
  await grants().locator('summary').first().click();
  await closed.getByRole('button', { name: 'Put it into the grants' }).click();
  await expect.poll(() => has(editor())).toBe(true);
  expect(await editor().isVisible()).toBe(true);

  await visit.add({ name: 'sum.wat', content: SUM });
  await visit.page.getByText('Imports nothing').waitFor();
  expect(await grants().count()).toBe(0);
});

test('many imports and many items of one are shown in part until they are asked for', async () => {
  await visit.add({ name: 'many.wat', content: manyImports(33, 250) });
  await asks().getByText('33 of 33 imports missing').waitFor();
  const rows = asks().locator('.import-list > li');
  expect(await rows.count()).toBe(20);
  await asks().getByRole('button', { name: 'Show 13 more imports' }).click();
  expect(await rows.count()).toBe(33);
  await rows.first().getByText('250 items').click();
  await expect.poll(() => rows.first().locator('.import-items > li').count()).toBe(201);
  await rows.first().getByText('50 more items').waitFor();
});

test('a module is explained as text, in the words of the library, and copied whole', async () => {
  await visit.page.context().grantPermissions(['clipboard-read', 'clipboard-write']);
  await visit.addNamed('e2e-counter', COUNTER);
  const id = await visit.page.locator('.facts [title^="sha256:"]').getAttribute('title');
  await visit.page.locator('#explain > summary').click();
  const block = visit.page.getByRole('region', { name: 'Explanation' });
  const expected = [
    `component ${id}`,
    '  export add: func(store: string, key: string, by: s64) -> result<s64, string>',
    '  export add-by-swap: func(store: string, key: string, by: s64) -> result<s64, string>',
    '  export lose-then-win: func(store: string, key: string) -> result<string, string>',
    ...['store', 'atomics'].map(
      (name) =>
        `  import wasi:keyvalue/${name}@0.2.0-draft2: missing (capability \`kv\` serves it: grant it with ${JSON.stringify(OWN)})`,
    ),
    '',
  ].join('\n');
  expect(await block.locator('pre').textContent()).toBe(expected);
  await block.getByRole('button', { name: 'Copy' }).click();
  await expect.poll(() => copy(visit)).toBe(expected);
});
