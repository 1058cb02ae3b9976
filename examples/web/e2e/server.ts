// A real server for the tests: RUNNER_SERVER_BIN on a free port, with a data directory of its own, serving the built
// page and the guests in RUNNER_GUESTS. It ends with the test run, however that ends.
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const PAGE = fileURLToPath(new URL('../dist/', import.meta.url));
const STARTS_WITHIN_MS = 10_000;

export class Server {
  private readonly data = mkdtempSync(join(tmpdir(), 'runner-web-data-'));
  private child: ChildProcess | null = null;
  private listen = '127.0.0.1:0';

  private constructor(private readonly args: string[]) {}

  static async start(...args: string[]): Promise<Server> {
    const server = new Server(args);
    await server.start();
    return server;
  }

  get address(): string {
    return `http://${this.listen}`;
  }

  /** Starts it; once more where it was, when it had been stopped. */
  async start(): Promise<void> {
    const own = [
      '--listen',
      this.listen,
      '--data',
      this.data,
      '--page',
      PAGE,
      '--guests',
      guests(),
      ...this.args,
    ];
    const child = spawn(binary(), own, { stdio: ['ignore', 'pipe', 'pipe'] });
    this.child = child;
    process.once('exit', () => child.kill());
    let log = '';
    const address = await new Promise<string>((found, failed) => {
      const late = setTimeout(
        () => failed(new Error(`the server does not listen:\n${log}`)),
        STARTS_WITHIN_MS,
      );
      const read = (chunk: Buffer) => {
        log += chunk;
        const listening = /listening on http:\/\/(\S+)/.exec(log)?.[1];
        if (listening === undefined) return;
        clearTimeout(late);
        found(listening);
      };
      child.stdout.on('data', read);
      child.stderr.on('data', read);
      child.once('exit', () => failed(new Error(`the server ended before it listened:\n${log}`)));
    });
    this.listen = address;
  }

  async stop(): Promise<void> {
    const { child } = this;
    if (child === null || child.exitCode !== null) return;
    const over = new Promise((over) => child.once('exit', over));
    child.kill();
    await over;
  }

  async end(): Promise<void> {
    await this.stop();
    rmSync(this.data, { recursive: true, force: true });
  }
}

function binary(): string {
  const path = process.env.RUNNER_SERVER_BIN ?? '';
  if (!existsSync(path)) {
    throw new Error(
      `RUNNER_SERVER_BIN is \`${path}\`: expected the server's program; \`scripts/test.sh --only browser\` builds it`,
    );
  }
  if (!existsSync(join(PAGE, 'index.html'))) throw new Error(`${PAGE} has no page: \`npm run build\` first`);
  return path;
}

export function guests(): string {
  const path = process.env.RUNNER_GUESTS ?? '';
  if (existsSync(join(path, 'http-hello.wasm'))) return path;
  throw new Error(
    `RUNNER_GUESTS is \`${path}\`: expected the folder of built guests; \`scripts/test.sh --only browser\` builds them`,
  );
}
