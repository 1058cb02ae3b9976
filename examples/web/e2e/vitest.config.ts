// The browser tests: a visitor in a real browser, a real server that serves the built page (see server.ts).
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

export default defineConfig({
  cacheDir: '../node_modules/.vite-e2e',
  test: {
    root: fileURLToPath(new URL('.', import.meta.url)),
    include: ['*.e2e.ts'],
    globalSetup: 'setup.ts',
    // One browser at a time: the machine has two cores, and the server compiles on one of them.
    fileParallelism: false,
    testTimeout: 30_000,
    hookTimeout: 30_000,
  },
});
