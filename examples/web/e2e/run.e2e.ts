// A visitor drops modules, calls them, and reads what became of it: the whole way, through the real server.
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { SERVER, Visit } from './browser';
import { ANSWER, COMMAND, COUNT, GROW, LONG_NAMES, manyExports, SPIN, SUM, TRAP } from './modules';

// What Chromium itself writes when a server answers with an error status.
const REFUSED = /Failed to load resource/;

let visit: Visit;
let provoked: RegExp | null;
beforeEach(async () => {
  provoked = null;
  visit = await Visit.open();
});
afterEach(() => visit.close(provoked));

describe('adding modules', () => {
  test('a dropped text module shows its functions with their types', async () => {
    await visit.add({ name: 'sum.wat', content: SUM });
    const exports = visit.page.getByRole('region', { name: 'Exports' });
    const rows = await exports.getByRole('link').allInnerTexts();
    expect(rows.map((row) => row.replace(/\s+/g, ' '))).toEqual([
      expect.stringMatching(/^sum\(\w+: s32, \w+: s32\) → s32$/),
      expect.stringMatching(/^double_wide\(\w+: s64\) → s64$/),
      expect.stringMatching(/^half\(\w+: f64\) → f64$/),
    ]);
    await expect.poll(() => visit.page.locator('.facts').innerText()).toMatch(/core[\s\S]*sha256:/);
  });

  test('a dropped binary module runs', async () => {
    await visit.add({ name: 'answer.wasm', content: ANSWER });
    await visit.run();
    expect(await visit.verdict()).toBe('Returned');
    expect(await visit.result.getByRole('region', { name: 'Value' }).locator('pre').innerText()).toBe('42');
  });

  test('several files at once all arrive, and the bad one says why it did not', async () => {
    provoked = REFUSED;
    await visit.drop(
      { name: 'sum.wat', content: SUM },
      { name: 'answer.wasm', content: ANSWER },
      { name: 'letter.wasm', content: 'dear server, this is no module' },
    );
    const side = visit.page.getByRole('navigation', { name: 'Modules' });
    await side.getByRole('link', { name: 'sum.wat' }).waitFor();
    await side.getByRole('link', { name: 'answer.wasm' }).waitFor();
    const refusal = side.getByRole('listitem').filter({ hasText: 'letter.wasm' });
    await expect
      .poll(() => refusal.innerText())
      .toMatch(/the server refused it[\s\S]*WebAssembly can be added/);
    await refusal.getByRole('button', { name: 'Dismiss' }).click();
    await expect.poll(() => refusal.count()).toBe(0);
  });

  test('odd files are no trouble: empty, twice the same, with a name of signs', async () => {
    provoked = REFUSED;
    const odd = 'a & <b>b</b> %2F..\\ "ä" 日本.wat';
    await visit.drop(
      { name: 'empty.wasm', content: '' },
      { name: odd, content: SUM },
      { name: odd, content: SUM },
    );
    const side = visit.page.getByRole('navigation', { name: 'Modules' });
    await visit.page.getByRole('heading', { level: 1, name: odd }).waitFor();
    await expect.poll(() => side.getByRole('listitem').filter({ hasText: 'empty.wasm' }).count()).toBe(1);
    expect(await side.getByRole('link', { name: odd }).count()).toBe(1);
    await visit.page.reload();
    await visit.page.getByRole('heading', { level: 1, name: odd }).waitFor();
  });

  test('a fault in a text is shown with its line and a mark below it', async () => {
    provoked = REFUSED;
    await visit.drop({
      name: 'broken.wat',
      content: '(module\n  (func (result i32)\n    (i32.const "one")))',
    });
    const shown = await visit.page.locator('pre.note-detail').innerText();
    const lines = shown.split('\n');
    const at = lines.findIndex((line) => line.includes('(i32.const "one")'));
    expect(lines[at + 1]?.indexOf('^')).toBe(lines[at]?.indexOf('"one"'));
  });

  test('files chosen by the button arrive like dropped ones', async () => {
    const chooser = visit.page.waitForEvent('filechooser');
    await visit.page.getByText('Choose files').click();
    const file = { name: 'sum.wat', mimeType: 'text/plain', buffer: Buffer.from(SUM) };
    await (await chooser).setFiles([file]);
    await visit.page.getByRole('heading', { level: 1, name: 'sum.wat' }).waitFor();
  });

  test('an example is one click away, with arguments filled in', async () => {
    await visit.page
      .getByRole('main')
      .getByRole('button', { name: /sum of (two|2) ints/i })
      .click();
    await visit.page.getByRole('heading', { level: 1, name: 'sum_of_2_ints.wat' }).waitFor();
    const a = Number(await visit.argument(0).inputValue());
    const b = Number(await visit.argument(1).inputValue());
    await visit.run();
    expect(await visit.verdict()).toBe('Returned');
    expect(await visit.result.locator('pre').first().innerText()).toBe(String(a + b));
  });

  test('a deleted module is gone from the list and from the server', async () => {
    await visit.add({ name: 'spin.wat', content: SPIN });
    const id = await visit.page.locator('.facts [title^="sha256:"]').getAttribute('title');
    await visit.page.getByRole('button', { name: 'Delete spin.wat' }).click();
    await visit.page.getByRole('button', { name: 'Delete from the server' }).click();
    await visit.page.getByRole('heading', { level: 1, name: /Run any WebAssembly/ }).waitFor();
    expect(await visit.page.getByRole('link', { name: 'spin.wat' }).count()).toBe(0);
    expect((await fetch(`${SERVER}/v1/modules/${id}`)).status).toBe(404);
  });

  test('a reload keeps the module and the function in view', async () => {
    await visit.add({ name: 'sum.wat', content: SUM });
    await visit.page.getByRole('link', { name: /double_wide/ }).click();
    await visit.page.reload();
    await visit.page.getByRole('heading', { name: 'Call double_wide' }).waitFor();
    await visit.page.getByRole('heading', { level: 1, name: 'sum.wat' }).waitFor();
  });
});

describe('calling', () => {
  test('the form is filled in, the answer and its cost are read', async () => {
    await visit.add({ name: 'sum.wat', content: SUM });
    await visit.argument(0).fill('40');
    await visit.argument(1).fill('2');
    await visit.run();
    expect(await visit.verdict()).toBe('Returned');
    expect(await visit.result.locator('pre').first().innerText()).toBe('42');
    expect(await visit.cost('Wall time')).toMatch(/^\d[\d.]*\s(µs|ms|s)$/);
    expect(await visit.cost('In the module')).toMatch(/\s(µs|ms|s)$/);
    await expect.poll(() => visit.page.locator('[aria-live]').innerText()).toMatch(/^sum returned 42 in /);
  });

  test('64-bit integers keep every digit', async () => {
    await visit.add({ name: 'sum.wat', content: SUM });
    await visit.page.getByRole('link', { name: /double_wide/ }).click();
    await visit.argument(0).fill('4611686018427387903');
    await visit.run();
    expect(await visit.verdict()).toBe('Returned');
    expect(await visit.result.locator('pre').first().innerText()).toBe('"9223372036854775806"');
  });

  test('whatever an export is named, it can be called', async () => {
    await visit.add({ name: 'names.wat', content: LONG_NAMES });
    const links = visit.page.getByRole('region', { name: 'Exports' }).getByRole('link');
    const values: string[] = [];
    for (let at = 0; at < 5; at += 1) {
      await links.nth(at).click();
      await visit.run();
      expect(await visit.verdict()).toBe('Returned');
      values.push(await visit.result.locator('pre').first().innerText());
    }
    expect(values).toEqual(['1', '2', '3', '4', '5']);
  });

  test('one of many exports is found by its name, and in view after a reload', async () => {
    await visit.add({ name: 'many.wat', content: manyExports(500) });
    const exports = visit.page.getByRole('region', { name: 'Exports' });
    expect(await exports.getByRole('link').count()).toBe(100);
    await exports.getByText('400 more exports').waitFor();
    await exports.getByLabel('Filter exports by name').fill('_77');
    expect(await exports.getByRole('link').count()).toBe(1);
    await exports.getByRole('link').click();
    await visit.page.getByRole('heading', { name: 'Call function_77' }).waitFor();
    await visit.page.reload();
    const chosen = exports.getByRole('link', { name: /^function_77/ });
    await chosen.waitFor();
    const { top, bottom } = await chosen.evaluate((row) => {
      const [list, own] = [row.closest('ul'), row].map((element) => element?.getBoundingClientRect());
      return { top: (own?.top ?? 0) - (list?.top ?? 0), bottom: (list?.bottom ?? 0) - (own?.bottom ?? 0) };
    });
    // What is scrolled to is off by less than a pixel.
    expect(Math.min(top, bottom)).toBeGreaterThan(-1);
  });

  test('a long text goes there and back; it is shown in part until it is asked for', async () => {
    await visit.example(/^Types/);
    const text = `日本 é 👩‍👩‍👧 \u202e ${'x'.repeat(100_000)} end`;
    await visit.argument(0).fill(text);
    await visit.run();
    expect(await visit.verdict()).toBe('Returned');
    const value = visit.result.getByRole('region', { name: 'Value' });
    expect((await value.locator('pre').innerText()).length).toBe(20_000);
    await value.getByRole('button', { name: /^Show all/ }).click();
    const shown = await value.locator('pre').innerText();
    expect(shown).toContain('\\u202e');
    expect(JSON.parse(shown)).toBe(text);
  });

  test('limits that were set are kept by the server, and one beyond its own is refused by name', async () => {
    provoked = REFUSED;
    await visit.add({ name: 'grow.wat', content: GROW });
    await visit.page.getByText('Limits', { exact: true }).click();
    await visit.page.getByLabel('Memory, MiB').fill('2');
    await visit.run();
    await expect.poll(() => visit.result.locator('pre').first().innerText()).toBe('32');
    await visit.page.getByLabel('Memory, MiB').fill('3');
    await visit.run();
    await expect.poll(() => visit.result.locator('pre').first().innerText()).toBe('48');
    await visit.page.getByLabel('Fuel, units').fill('1000');
    await visit.run();
    expect(await visit.verdict()).toBe('Returned');
    expect(await visit.cost('Fuel')).toMatch(/^\d+$/);
    await visit.page.getByLabel('Fuel, units').fill('10');
    await visit.run();
    expect(await visit.verdict()).toBe('Limit met');
    expect(await visit.result.innerText()).toMatch(/fuel[\s\S]*Allowed were 10/);
    await visit.page.getByLabel('Memory, MiB').fill('999999');
    await visit.run();
    expect(await visit.verdict()).toBe('Not run');
    expect(await visit.result.innerText()).toMatch(/memory_bytes/);
  });

  test('infinities are numbers, too', async () => {
    await visit.add({ name: 'sum.wat', content: SUM });
    await visit.page.getByRole('link', { name: /half/ }).click();
    await visit.argument(0).fill('-Infinity');
    await visit.run();
    expect(await visit.verdict()).toBe('Returned');
    expect(await visit.result.locator('pre').first().innerText()).toBe('"-Infinity"');
  });

  test('what is wrong or missing is said at the field, and nothing is sent', async () => {
    await visit.add({ name: 'sum.wat', content: SUM });
    await visit.argument(0).fill('3000000000');
    const form = visit.page.locator('form.call');
    await form.getByText('The largest value is 2147483647.').waitFor();
    expect(await form.getByText('Needs an integer.').count()).toBe(0);
    await visit.run();
    await form.getByText('Needs an integer.').waitFor();
    await expect
      .poll(() => visit.argument(0).evaluate((field) => field === document.activeElement))
      .toBe(true);
    expect(await visit.result.locator('.verdict').count()).toBe(0);
  });

  test('every kind of value has its control, and the form agrees with the JSON', async () => {
    await visit.add({ name: 'count.wat', content: COUNT });
    const form = visit.page.locator('form.call');
    await form.getByLabel(/^id/).fill('9007199254740993');
    await form.getByLabel(/^name/).fill('blue');
    await form.getByLabel(/^paid/).check();
    await form.getByRole('button', { name: 'Add to tags' }).click();
    await visit.page.keyboard.type('one');
    await form.getByRole('button', { name: 'Add to tags' }).click();
    await visit.page.keyboard.type('two');
    await form.getByLabel(/^speed/).selectOption('fast');
    await form.getByLabel('gift').check();
    await form.getByLabel('insured').check();

    await form.getByLabel('JSON', { exact: true }).check();
    const raw = form.getByLabel(/^Arguments/);
    expect(JSON.parse(await raw.inputValue())).toEqual([
      { id: '9007199254740993', name: 'blue', paid: true },
      ['one', 'two'],
      'fast',
      ['gift', 'insured'],
      null,
    ]);
    await visit.run();
    expect(await visit.verdict()).toBe('Returned');
    expect(await visit.result.locator('pre').first().innerText()).toBe('"9007199254740999"');
  });

  test('raw JSON fills the form, and a broken text is kept until it is mended', async () => {
    await visit.add({ name: 'sum.wat', content: SUM });
    const form = visit.page.locator('form.call');
    await form.getByLabel('JSON', { exact: true }).check();
    const raw = form.getByLabel(/^Arguments/);
    await raw.fill('[20, 22]');
    await form.getByLabel('Form', { exact: true }).check();
    expect(await visit.argument(0).inputValue()).toBe('20');
    expect(await visit.argument(1).inputValue()).toBe('22');

    await form.getByLabel('JSON', { exact: true }).check();
    await raw.fill('[20, 22');
    await form.getByLabel('Form', { exact: true }).check();
    await form.getByText('The JSON text cannot be read').waitFor();
    await form.getByRole('button', { name: 'Correct the text' }).click();
    expect(await raw.inputValue()).toBe('[20, 22');
    await raw.fill('[20, 23]');
    await visit.run();
    expect(await visit.verdict()).toBe('Returned');
    expect(await visit.result.locator('pre').first().innerText()).toBe('43');
  });
});

describe('other endings', () => {
  test('a command shows its output and its exit code', async () => {
    await visit.add({ name: 'command.wat', content: COMMAND });
    await visit.page.getByText(/\d imports?$/).click();
    await visit.page
      .getByText(/wasi_snapshot_preview1/)
      .first()
      .waitFor();
    await visit.page.getByRole('button', { name: 'Add argument' }).click();
    await visit.page.getByLabel('argument 1', { exact: true }).fill('-v');
    await visit.run();
    expect(await visit.verdict()).toBe('Failed');
    const text = (name: string) => visit.result.getByRole('region', { name }).locator('pre').innerText();
    expect(await text('Standard output')).toBe('hello\n');
    expect(await text('Standard error')).toBe('oops\n');
    const exitCode = visit.result.locator('dt', { hasText: 'Exit code' }).locator('+ dd');
    expect(await exitCode.innerText()).toBe('3');
  });

  test('a trap shows the backtrace with the names of the functions', async () => {
    await visit.add({ name: 'trap.wat', content: TRAP });
    await visit.argument(0).fill('1');
    await visit.run();
    expect(await visit.verdict()).toBe('Trapped');
    const rows = await visit.result
      .getByRole('table', { name: /Backtrace/ })
      .getByRole('row')
      .allInnerTexts();
    expect(rows.slice(1).map((row) => row.split(/\s+/)[1])).toEqual(['inner', 'middle', 'outer']);
    expect(await visit.result.innerText()).toMatch(/unreachable/);
  });

  test('a loop without end meets its deadline, which is named with what was allowed', async () => {
    await visit.add({ name: 'spin.wat', content: SPIN });
    await visit.page.getByText('Limits', { exact: true }).click();
    await visit.page.getByLabel('Deadline, ms').fill('250');
    await visit.run();
    expect(await visit.verdict()).toBe('Limit met');
    expect(await visit.result.innerText()).toMatch(/deadline[\s\S]*Allowed were 250\sms/);
    await visit.result.getByRole('button', { name: 'Change this limit' }).click();
    const deadline = visit.page.getByLabel('Deadline, ms');
    expect(await deadline.evaluate((field) => field === document.activeElement)).toBe(true);
  });

  test('a running call can be cancelled', async () => {
    await visit.add({ name: 'spin.wat', content: SPIN });
    await visit.page.getByText('Limits', { exact: true }).click();
    await visit.page.getByLabel('Deadline, ms').fill('9000');
    await visit.run();
    await visit.page.getByRole('button', { name: 'Cancel' }).click();
    expect(await visit.verdict()).toBe('Stopped');
  });

  test('a file that is no module is refused with a reason', async () => {
    provoked = REFUSED;
    await visit.drop({ name: 'letter.wasm', content: 'dear server, this is no module' });
    const refusal = visit.page.getByRole('listitem').filter({ hasText: 'letter.wasm' });
    await refusal.waitFor();
    expect(await refusal.locator('.note-detail').innerText()).not.toBe('');
  });
});

describe('history', () => {
  test('an earlier run is shown again, its arguments put back, and run once more', async () => {
    await visit.add({ name: 'sum.wat', content: SUM });
    await visit.argument(0).fill('1');
    await visit.argument(1).fill('2');
    await visit.run();
    await visit.verdict();
    await visit.argument(0).fill('10');
    await visit.run();
    await expect.poll(() => visit.result.locator('pre').first().innerText()).toBe('12');

    const history = visit.page.getByRole('region', { name: 'History' });
    await history.getByRole('button', { name: /sum\(1, 2\)/ }).click();
    expect(await visit.result.locator('pre').first().innerText()).toBe('3');
    expect(await visit.argument(0).inputValue()).toBe('10');
    await visit.result.getByRole('button', { name: 'Put arguments back' }).click();
    expect(await visit.argument(0).inputValue()).toBe('1');
    await visit.result.getByRole('button', { name: 'Run again' }).click();
    await expect.poll(() => history.getByRole('button').count()).toBe(3);
    expect(await visit.verdict()).toBe('Returned');
  });
});

test('on a phone what was asked for comes into sight: the form of an export, the answer, an earlier run', async () => {
  await visit.page.setViewportSize({ width: 390, height: 700 });
  await visit.add({ name: 'many.wat', content: manyExports(30) });
  const inSight = (name: string | RegExp) =>
    visit.page
      .getByRole('heading', { name })
      // Give or take what is no pixel: a page is scrolled by whole ones.
      .evaluate((heading) => [0, innerHeight].map((edge) => heading.getBoundingClientRect().top > edge - 1));
  await visit.page.getByRole('link', { name: /^function_3\(/ }).click();
  await expect.poll(() => inSight('Call function_3')).toEqual([true, false]);
  for (const value of ['1', '2']) {
    await visit.argument(0).fill(value);
    await visit.argument(1).fill(value);
    await visit.run();
    await expect.poll(() => inSight('Result')).toEqual([true, false]);
    expect(await visit.verdict()).toBe('Returned');
  }
  await visit.page.getByRole('button', { name: /function_3\(1, 1\)/ }).click();
  await expect.poll(() => inSight('Result')).toEqual([true, false]);
  expect(await visit.result.locator('.call-text').innerText()).toBe('function_3(1, 1)');
});
