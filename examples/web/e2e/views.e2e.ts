// Every main view, light and dark, wide and narrow: nothing that axe finds serious, nothing that sticks out, nothing on the
// console. Each leaves its pictures in SCREENSHOTS, to be looked at.
import { expect, test } from 'vitest';
import { SERVER, Visit } from './browser';
import {
  COUNT,
  guest,
  inOtherBytes,
  LONG_NAMES,
  manyExports,
  manyImports,
  NEEDS_IMPORT,
  SPIN,
  SUM,
  TRAP,
} from './modules';

const WIDE = { width: 1360, height: 860 };
// The narrowest phones; also what 1280 pixels leave at a zoom of 400 %, as WCAG asks.
const NARROW = { width: 320, height: 640 };
// What Chromium itself writes when a server answers with an error status.
const REFUSED = /Failed to load resource/;

interface View {
  name: string;
  reach: (visit: Visit) => Promise<unknown>;
  provoked?: RegExp;
}

async function called(visit: Visit, verdict: string): Promise<void> {
  await visit.run();
  expect(await visit.verdict()).toBe(verdict);
}

const SHOP = '{ "kv": { "stores": { "default": { "namespace": "shop" } } } }';

/** Opens the counter, which needs a grant, and writes one. */
async function counter(visit: Visit, grants: string): Promise<void> {
  await visit.addNamed('e2e-view', guest('kv-counter.wasm'), 'add');
  await visit.page.getByLabel('Grants as JSON').fill(grants);
  await visit.page.getByRole('button', { name: 'Grant this' }).click();
}

async function write(path: string, text: string): Promise<void> {
  expect((await fetch(`${SERVER}/v1/files/${path}`, { method: 'PUT', body: text })).ok).toBe(true);
}

const VIEWS: View[] = [
  { name: 'welcome', reach: (visit) => visit.examples() },
  {
    name: 'files refused',
    provoked: REFUSED,
    reach: async (visit) => {
      await visit.drop(
        { name: 'letter.wasm', content: 'dear server, this is no module' },
        {
          name: 'broken.wat',
          content: '(module\n  (func (export "f") (result i32)\n    (i32.const "one")))',
        },
      );
      await visit.page.getByRole('button', { name: 'Dismiss all 2 messages' }).waitFor();
    },
  },
  { name: 'module', reach: (visit) => visit.add({ name: 'sum.wat', content: SUM }) },
  {
    name: 'module with 500 exports',
    reach: (visit) => visit.add({ name: 'many.wat', content: manyExports(500) }),
  },
  {
    name: 'long names',
    reach: (visit) => visit.add({ name: `${'long'.repeat(40)}.wat`, content: LONG_NAMES }),
  },
  {
    name: 'compound arguments, wrong ones among them',
    reach: async (visit) => {
      await visit.add({ name: 'count.wat', content: COUNT });
      await visit.page.getByRole('button', { name: 'Add to tags' }).click();
      await visit.page.getByLabel(/^note/).check();
      await visit.page.getByLabel(/^id/).fill('-1');
      await visit.run();
      await visit.page.getByText('The smallest value is 0.', { exact: true }).waitFor();
    },
  },
  {
    name: 'limits',
    reach: async (visit) => {
      await visit.add({ name: 'sum.wat', content: SUM });
      await visit.page.getByText('Limits', { exact: true }).click();
      await visit.page.getByLabel('Deadline, ms').fill('soon');
    },
  },
  {
    name: 'returned',
    reach: async (visit) => {
      await visit.example(/^Greet /);
      await called(visit, 'Returned');
    },
  },
  {
    name: 'failed',
    reach: async (visit) => {
      await visit.example(/^Greet /);
      await visit.page.getByRole('link', { name: /describe/ }).click();
      await called(visit, 'Failed');
    },
  },
  {
    name: 'trapped',
    reach: async (visit) => {
      await visit.add({ name: 'trap.wat', content: TRAP });
      await visit.argument(0).fill('1');
      await called(visit, 'Trapped');
    },
  },
  {
    name: 'exhausted',
    reach: async (visit) => {
      await visit.add({ name: 'spin.wat', content: SPIN });
      await visit.page.getByText('Limits', { exact: true }).click();
      await visit.page.getByLabel('Deadline, ms').fill('100');
      await called(visit, 'Limit met');
    },
  },
  {
    name: 'import missing',
    provoked: REFUSED,
    reach: async (visit) => {
      await visit.add({ name: 'needs.wat', content: NEEDS_IMPORT });
      await visit.page.getByText('1 of 1 import missing').waitFor();
      await called(visit, 'Not run');
    },
  },
  {
    name: 'grant needed',
    provoked: REFUSED,
    reach: async (visit) => {
      await visit.addNamed('e2e-view', guest('kv-counter.wasm'), 'add');
      for (const summary of await visit.page.locator('.import summary').all()) await summary.click();
      await visit.argument(0).fill('default');
      await visit.argument(1).fill('visits');
      await visit.argument(2).fill('1');
      await called(visit, 'Not run');
    },
  },
  {
    name: 'granted',
    reach: async (visit) => {
      await counter(visit, SHOP);
      await visit.page.getByText(/^Granted to version/).waitFor();
      await visit.page.getByRole('button', { name: 'Take back all' }).click();
      for (const id of ['http', 'kv']) await visit.page.locator(`#lends-${id} > summary`).click();
    },
  },
  {
    name: 'new bytes',
    reach: async (visit) => {
      await counter(visit, SHOP);
      await visit.page.getByText(/^Granted to version/).waitFor();
      await visit.addNamed('e2e-view', inOtherBytes(guest('kv-counter.wasm')));
      await visit.page.getByRole('button', { name: /^Grant the same/ }).waitFor();
    },
  },
  {
    name: 'wrong grant',
    provoked: REFUSED,
    reach: async (visit) => {
      await counter(visit, '{ "kv": { "stores": { "default": { "space": "shop" } } } }');
      await visit.page
        .getByText(/unknown field/)
        .first()
        .waitFor();
    },
  },
  {
    name: 'nothing missing',
    reach: async (visit) => {
      await visit.addNamed('e2e-view', guest('http-hello.wasm'));
      for (const part of ['#asks', '.ask-group.provided', '#grants', '#explain'])
        await visit.page.locator(`${part} > summary`).click();
      await visit.page.getByRole('region', { name: 'Explanation' }).waitFor();
    },
  },
  {
    name: 'example with grants',
    reach: async (visit) => {
      await visit.examples();
      await visit.exampleOf('counter.wasm');
      await visit.page.getByText(/^The example works with these grants/).waitFor();
    },
  },
  {
    name: 'many imports',
    reach: async (visit) => {
      await visit.add({ name: 'many.wat', content: manyImports(33, 250) });
      await visit.page.getByText('250 items').click();
    },
  },
  {
    name: 'no name',
    reach: async (visit) => {
      await visit.add({ name: 'counter.wasm', content: guest('kv-counter.wasm') });
      await visit.page.getByRole('textbox', { name: 'Name' }).fill('No Name');
    },
  },
  {
    name: 'command',
    reach: async (visit) => {
      await visit.example(/^Command/);
      await visit.page.getByRole('button', { name: 'Add argument' }).click();
      await visit.page.getByRole('button', { name: 'Add variable' }).click();
      await called(visit, 'Failed');
    },
  },
  {
    name: 'http handler',
    reach: async (visit) => {
      await visit.example(/^HTTP hello/);
      await visit.page.getByRole('button', { name: 'Add header' }).click();
      await called(visit, '200');
    },
  },
  {
    name: 'http handler without an answer',
    provoked: REFUSED,
    reach: async (visit) => {
      await visit.example(/^HTTP hello/);
      await visit.page.getByLabel('Path').fill('/trap');
      await called(visit, 'Trapped');
    },
  },
  {
    name: 'module gone',
    provoked: REFUSED,
    reach: async (visit) => {
      await visit.page.goto(`${visit.page.url()}#/modules/nobody`);
      await visit.page.getByRole('heading', { level: 1, name: 'nobody' }).waitFor();
    },
  },
  {
    name: 'files',
    provoked: REFUSED,
    reach: async (visit) => {
      await write('e2e-view/orders/1.txt', 'one');
      await write(`e2e-view/${'a-long-name-'.repeat(20)}.txt`, 'long');
      await write('e2e-view/photo.png', 'x'.repeat(123_456));
      await visit.page.goto(`${SERVER}/#/files/e2e-view?photo.png`);
      await visit.page.getByText('3 entries').waitFor();
      await visit.drop({ name: 'photo.png', content: 'other' }, { name: 'orders', content: 'no folder' });
      await visit.page.getByText('Something else is in the way').waitFor();
      await visit.page.getByText('is there already').waitFor();
      await visit.page.getByRole('button', { name: 'New folder' }).click();
      await visit.page.getByLabel('Name of the folder').fill('a/b');
      await visit.page.getByRole('button', { name: 'Delete orders' }).click();
    },
  },
  {
    name: 'files empty',
    reach: async (visit) => {
      await write('e2e-view/empty/', '');
      await visit.page.goto(`${SERVER}/#/files/e2e-view/empty`);
      await visit.page.getByText('Nothing is here yet.').waitFor();
    },
  },
  {
    name: 'files not there',
    provoked: REFUSED,
    reach: async (visit) => {
      await visit.page.goto(`${SERVER}/#/files/nowhere/at/all`);
      await visit.page.getByText('This folder cannot be shown').waitFor();
    },
  },
  {
    name: 'files changed',
    reach: async (visit) => {
      const ref = await visit.store('e2e-view', guest('files-p2.wasm'));
      const body = JSON.stringify({ fs: { mounts: { '/data': { prefix: 'e2e-view' } } } });
      await fetch(`${SERVER}/v1/modules/${ref}/grants`, { method: 'PUT', body });
      await write('e2e-view/old', 'old');
      await write('e2e-view/gone', 'gone');
      await visit.page.goto(`${SERVER}/#/modules/${ref}`);
      await visit.page.getByLabel('Exports').getByRole('link').first().click();
      const many = Array.from({ length: 30 }, (_, at) => ['put', `/data/new-${at}`, 'x']);
      const steps = [...many, ['put', '/data/old', 'new'], ['rm', '/data/gone']];
      await visit.page.getByLabel('Standard input').fill(JSON.stringify(steps));
      await called(visit, 'Returned');
      await visit.page.getByRole('region', { name: 'Files' }).waitFor();
    },
  },
  {
    name: 'server dialog',
    reach: async (visit) => {
      await visit.page.getByRole('button', { name: /^Server/ }).click();
      await visit.page.getByRole('dialog').getByLabel('Token').fill('no spaces here');
    },
  },
];

test.each(VIEWS)('$name', async ({ name, reach, provoked = null }) => {
  const visit = await Visit.open();
  await reach(visit);
  for (const colorScheme of ['light', 'dark'] as const) {
    for (const size of [WIDE, NARROW]) {
      // Without motion the colours are there at once, not half-way from the ones before.
      await visit.page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
      await visit.page.setViewportSize(size);
      const at = `${name} ${colorScheme} ${size.width}`;
      await visit.shot(at.replaceAll(/[ ,]+/g, '-'));
      expect([at, await visit.overflow(), await visit.axe()]).toEqual([at, 0, []]);
    }
  }
  await visit.close(provoked);
  await fetch(`${SERVER}/v1/files/e2e-view?recursive=true`, { method: 'DELETE' });
});
