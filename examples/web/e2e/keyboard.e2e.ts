// The whole page without a mouse: every control is come to by Tab, and the focus is never lost.
import type { Locator } from 'playwright-core';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Visit } from './browser';
import { COUNT, SPIN, SUM } from './modules';

let visit: Visit;
beforeEach(async () => {
  visit = await Visit.open();
  await visit.examples();
});
afterEach(() => visit.close());

const press = (key: string) => visit.page.keyboard.press(key);
const form = () => visit.page.locator('form.call');
const has = (control: Locator) => control.evaluate((element) => element === document.activeElement);

async function enter(control: Locator): Promise<void> {
  await visit.tabTo(control);
  await press('Enter');
}

async function type(control: Locator, text: string): Promise<void> {
  await visit.tabTo(control);
  await press('Control+A');
  await visit.page.keyboard.type(text);
}

test('an example is opened, called, and called again from its history', async () => {
  await press('Tab');
  expect(await visit.focused()).toBe('Skip to the content');
  await press('Enter');
  await enter(visit.page.getByRole('main').getByRole('button', { name: /^Sum of/ }));
  await visit.page.getByRole('heading', { level: 1, name: 'sum_of_2_ints.wat' }).waitFor();
  await type(visit.argument(0), '70');
  const outline = await visit.argument(0).evaluate((field) => getComputedStyle(field).outlineStyle);
  expect(outline).toBe('solid');
  await type(visit.argument(1), '7');
  await press('Control+Enter');
  expect(await visit.verdict()).toBe('Returned');
  expect(await visit.result.locator('pre').first().innerText()).toBe('77');

  const history = visit.page.getByRole('region', { name: 'History' });
  await enter(history.getByRole('button', { name: /sum_of_2_ints\(70, 7\)/ }));
  await visit.tabTo(visit.result.getByRole('button', { name: 'Run again' }));
  await press('Enter');
  await expect.poll(() => history.getByRole('button').count()).toBe(2);
});

test('another export, its limits, and a run that is cancelled', async () => {
  await visit.add({ name: 'two.wat', content: SPIN.replace('(module', '(module (func (export "first"))') });
  await enter(visit.page.getByRole('link', { name: /^spin/ }));
  await form().getByRole('heading', { name: 'Call spin' }).waitFor();
  await enter(form().locator('summary'));
  await type(form().getByLabel('Deadline, ms'), '9000');
  await enter(form().getByRole('button', { name: 'Run', exact: true }));
  await enter(form().getByRole('button', { name: 'Cancel' }));
  expect(await visit.verdict()).toBe('Stopped');
  expect(await has(form().getByRole('button', { name: 'Run', exact: true }))).toBe(true);
});

test('compound arguments: rows come and go, and the focus goes with them', async () => {
  await visit.add({ name: 'count.wat', content: COUNT });
  await enter(form().getByRole('button', { name: 'Add to tags' }));
  await visit.page.keyboard.type('one');
  await enter(form().getByRole('button', { name: 'Add to tags' }));
  await visit.page.keyboard.type('two');
  await enter(form().getByRole('button', { name: 'Remove tags 1' }));
  expect(await visit.focused()).toBe('Add to tags');
  expect(
    await form()
      .getByLabel(/^tags 1/)
      .inputValue(),
  ).toBe('two');
  await visit.tabTo(form().getByLabel('gift'));
  await press('Space');
  await visit.tabTo(form().getByLabel('Form', { exact: true }));
  await press('ArrowRight');
  expect(
    await form()
      .getByLabel(/^Arguments/)
      .inputValue(),
  ).toMatch(/"two"[\s\S]*"gift"/);
});

test('a request to a handler', async () => {
  await enter(visit.page.getByRole('main').getByRole('button', { name: /^HTTP hello/ }));
  await visit.tabTo(form().getByLabel('Method'));
  await visit.page.keyboard.type('PO');
  await type(form().getByLabel('Path'), '/echo');
  await enter(form().getByRole('button', { name: 'Add header' }));
  expect(await visit.focused()).toBe('header 1, name');
  await visit.page.keyboard.type('x-a');
  await enter(form().getByRole('button', { name: 'Remove header 1' }));
  expect(await visit.focused()).toBe('Add header');
  await type(form().getByRole('textbox', { name: 'Body' }), 'by hand');
  await enter(form().getByRole('button', { name: 'Run', exact: true }));
  expect(await visit.verdict()).toBe('200');
  expect(await visit.result.locator('pre').first().innerText()).toBe('by hand');
});

test('the dialog holds the focus, and gives it back', async () => {
  const button = visit.page.getByRole('button', { name: /^Server/ });
  await enter(button);
  const dialog = visit.page.getByRole('dialog');
  await dialog.waitFor();
  const places: string[] = [];
  for (let step = 0; step < 8; step += 1) {
    places.push(
      await visit.page.evaluate(() => {
        const { activeElement: focus } = document;
        return focus?.closest('dialog') ? 'dialog' : (focus?.tagName ?? '');
      }),
    );
    await press('Tab');
  }
  // Between its last control and its first the browser's own frame has it: then the page's is on `body`.
  expect(new Set(places)).toEqual(new Set(['dialog', 'BODY']));
  await press('Escape');
  await expect.poll(() => dialog.count()).toBe(0);
  expect(await has(button)).toBe(true);
});

test('a module is not deleted by one key, and kept without losing the place', async () => {
  await visit.add({ name: 'sum.wat', content: SUM });
  await enter(visit.page.getByRole('button', { name: 'Delete sum.wat' }));
  expect(await visit.focused()).toBe('Delete from the server');
  await enter(visit.page.getByRole('button', { name: 'Keep' }));
  expect(await visit.focused()).toBe('Delete sum.wat');
  await press('Enter');
  await press('Enter');
  await visit.page.getByRole('heading', { level: 1, name: /Run any WebAssembly/ }).waitFor();
  expect(await visit.page.evaluate(() => document.activeElement?.id)).toBe('main');
});
