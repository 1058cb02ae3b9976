// One Chromium for each file of tests that imports this, and what a visitor does in it: open the page, drop files, run, look.
// Every page notes its console errors, and which modules it added, so that a test leaves the server as it found it.
import { mkdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import axe from 'axe-core';
import { type Browser, type BrowserContextOptions, chromium, type Locator, type Page } from 'playwright-core';
import { afterAll, beforeAll, expect, inject } from 'vitest';

export const SERVER = inject('server');
const SCREENSHOTS = process.env.SCREENSHOTS || join(tmpdir(), 'runner-web-screenshots');
const CHROMIUM = process.env.CHROMIUM || '/usr/bin/chromium';

export interface NamedFile {
  name: string;
  content: string | Uint8Array;
}

export interface Listed {
  file: string;
  title: string;
  about: string;
  grants?: unknown;
}

let browser: Browser;
beforeAll(async () => {
  mkdirSync(SCREENSHOTS, { recursive: true });
  browser = await chromium.launch({
    executablePath: CHROMIUM,
    // Where no language is set, it cannot spell the name of a file that is not ASCII.
    env: { ...process.env, LC_ALL: 'C.UTF-8' },
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  });
});
afterAll(() => browser?.close());

export class Visit {
  readonly errors: string[] = [];
  private readonly added = new Set<string>();
  private readonly named = new Set<string>();

  private constructor(readonly page: Page) {
    page.on('console', (message) => {
      if (message.type() === 'error' || message.type() === 'warning') this.errors.push(message.text());
    });
    page.on('pageerror', (error) => this.errors.push(String(error)));
    page.on('response', async (response) => {
      if (response.status() !== 201) return;
      const body: unknown = await response.json().catch(() => null);
      if (typeof body !== 'object' || body === null || !('id' in body)) return;
      if ('name' in body) this.named.add(String(body.name));
      this.added.add(String(body.id));
    });
  }

  static async open(options: BrowserContextOptions = {}, path = '/'): Promise<Visit> {
    const context = await browser.newContext({ viewport: { width: 1360, height: 860 }, ...options });
    const visit = new Visit(await context.newPage());
    await visit.page.goto(new URL(path, SERVER).href);
    await visit.page.getByRole('heading', { level: 1 }).waitFor();
    return visit;
  }

  /** Closes the page; nothing may have gone wrong on its console but what the test itself provoked. */
  async close(provoked: RegExp | null = null): Promise<void> {
    await this.page.context().close();
    for (const name of this.named) await fetch(`${SERVER}/v1/modules/${name}`, { method: 'DELETE' });
    for (const id of this.added) await fetch(`${SERVER}/v1/modules/${id}`, { method: 'DELETE' });
    expect(this.errors.filter((error) => !provoked?.test(error))).toEqual([]);
  }

  /** Drops files on the page as a desktop does: with `dragenter`, `dragover` and `drop`. */
  async drop(...files: NamedFile[]): Promise<void> {
    const plain = files.map(({ name, content }) => ({ name, bytes: [...Buffer.from(content)] }));
    await this.page.evaluate((files) => {
      const carried = new DataTransfer();
      for (const { name, bytes } of files) carried.items.add(new File([Uint8Array.from(bytes)], name));
      for (const type of ['dragenter', 'dragover', 'drop']) {
        const event = new DragEvent(type, { dataTransfer: carried, bubbles: true, cancelable: true });
        document.body.dispatchEvent(event);
      }
    }, plain);
  }

  /** Drops one module and waits until it is open. */
  async add(file: NamedFile): Promise<void> {
    await this.drop(file);
    await this.page.getByRole('heading', { level: 1, name: file.name }).waitFor();
  }

  /** Stores a module under a name, as a build would, and opens that version. */
  async addNamed(name: string, bytes: Uint8Array<ArrayBuffer>, fn = ''): Promise<string> {
    const ref = await this.store(name, bytes);
    await this.page.goto(`${SERVER}/#/modules/${ref}/${encodeURIComponent(fn)}`);
    await this.page.getByRole('heading', { level: 1, name: ref }).waitFor();
    return ref;
  }

  /** Stores a module under a name, and says which version it became. */
  async store(name: string, bytes: Uint8Array<ArrayBuffer>): Promise<string> {
    const stored = await fetch(`${SERVER}/v1/modules/${name}`, { method: 'PUT', body: bytes });
    const { id, version } = (await stored.json()) as { id: string; version: number };
    this.named.add(name);
    this.added.add(id);
    return `${name}@${version}`;
  }

  /** Waits for the examples on the first view. */
  async examples(): Promise<void> {
    await this.page.getByRole('heading', { name: 'Or begin with an example' }).waitFor();
  }

  /** Clicks an example, and waits until it is open. */
  async example(title: RegExp): Promise<void> {
    await this.page.getByRole('main').getByRole('button', { name: title }).click();
    await this.page.locator('form.call').waitFor();
  }

  /** Clicks the example of a file, whatever it is called, and waits until it is open. Gives what the server says of it. */
  async exampleOf(file: string): Promise<Listed> {
    const answer = await fetch(new URL('/v1/examples', this.page.url()));
    const { examples } = (await answer.json()) as { examples: Listed[] };
    const found = examples.find((example) => example.file === file);
    if (found === undefined) throw new Error(`the server has no example \`${file}\``);
    // What is code in the sentence stands without its marks.
    const words = `${found.title} ${found.about.replaceAll('`', '')}`;
    const cards = this.page.getByRole('main').locator('.card');
    for (const card of await cards.all()) {
      const text = (await card.locator('.card-title, .card-about').allInnerTexts()).join(' ');
      if (text !== words) continue;
      await card.click();
      await this.page.locator('form.call').waitFor();
      return found;
    }
    throw new Error(`no card says \`${words}\``);
  }

  /** The controls for the arguments, in order. */
  argument(at: number): Locator {
    return this.page.locator('form.call > .field').nth(at).locator('input, textarea, select').first();
  }

  get result(): Locator {
    return this.page.getByRole('region', { name: 'Result' });
  }

  async run(): Promise<void> {
    await this.page.getByRole('button', { name: 'Run', exact: true }).click();
  }

  /** The verdict of the run in view, once it has ended. */
  async verdict(): Promise<string> {
    const badge = this.result.locator('.verdict');
    await badge.filter({ hasNotText: 'Running' }).waitFor({ timeout: 20_000 });
    return badge.innerText();
  }

  async cost(name: string): Promise<string> {
    return this.result.getByRole('row', { name }).getByRole('cell').innerText();
  }

  shot(name: string): Promise<Buffer> {
    return this.page.screenshot({ path: join(SCREENSHOTS, `${name}.png`), fullPage: true });
  }

  /** Axe's findings that are serious or critical, as `rule: element`. */
  async axe(): Promise<string[]> {
    await this.page.evaluate(axe.source);
    const { violations } = await this.page.evaluate(() =>
      (window as unknown as { axe: typeof axe }).axe.run(),
    );
    return violations
      .filter(({ impact }) => impact === 'serious' || impact === 'critical')
      .flatMap(({ id, nodes }) => nodes.map((node) => `${id}: ${node.html.slice(0, 120)}`));
  }

  /** The text of what has the focus. */
  focused(): Promise<string> {
    return this.page.evaluate(() => {
      const focus = document.activeElement;
      return (focus?.getAttribute('aria-label') ?? focus?.textContent ?? '').trim();
    });
  }

  /** Comes to a control as a keyboard does, and says where it was lost when it does not. */
  async tabTo(control: Locator): Promise<void> {
    await control.waitFor();
    const seen: string[] = [];
    for (let step = 0; step < 150; step += 1) {
      if (await control.evaluate((element) => element === document.activeElement)) return;
      await this.page.keyboard.press('Tab');
      seen.push(await this.focused());
    }
    throw new Error(`the focus never came to ${control}; it went over ${seen.slice(-20).join(' | ')}`);
  }

  /** How far the page can be scrolled sideways: nothing may stick out. */
  overflow(): Promise<number> {
    return this.page.evaluate(
      () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
    );
  }
}
