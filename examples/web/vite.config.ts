// How the page is built and served while it is being written. The dev server passes the API through to the server
// named by RUNNER_SERVER, so that the page and the API share one origin as they do in production.
import react from '@vitejs/plugin-react';
import type { ProxyOptions } from 'vite';
import { defineConfig } from 'vitest/config';

const target = process.env.RUNNER_SERVER || 'http://127.0.0.1:8080';

const throughToServer: ProxyOptions = {
  target,
  changeOrigin: true,
  configure(proxy) {
    proxy.on('proxyReq', (proxyRequest, request) => {
      // The server refuses origins it does not know. Only the page that this dev server serves is passed off as the
      // server's own: a foreign page's Origin goes through as it is, and is refused as it should be.
      const { origin, host } = request.headers;
      if (origin === `http://${host}`) proxyRequest.setHeader('origin', new URL(target).origin);
    });
  },
};

const proxy = Object.fromEntries(
  ['/v1', '/healthz', '/metrics', '/openapi.json'].map((path) => [path, throughToServer]),
);

export default defineConfig({
  // Relative addresses: the built page works at `/`, in a subfolder, and on an S3 website.
  base: './',
  plugins: [react()],
  server: { port: 5173, strictPort: true, proxy },
  preview: { port: 5173, strictPort: true, proxy },
  // The first browsers with `light-dark()`, on which the two colour schemes rest.
  build: { target: ['chrome123', 'firefox120', 'safari17.5'], sourcemap: false },
  test: { include: ['src/**/*.test.ts'], environment: 'node' },
});
