import react from '@vitejs/plugin-react';
import { existsSync, writeFileSync } from 'node:fs';
import type { Plugin } from 'vite';
import { defineConfig } from 'vitest/config';

/** Emptying dist takes the committed .gitkeep with it; this puts it back, so a build leaves the checkout clean. */
function keepDist(): Plugin {
  return {
    name: 'icewatch-keep-dist',
    apply: 'build',
    closeBundle() {
      if (existsSync('dist') && !existsSync('dist/.gitkeep')) writeFileSync('dist/.gitkeep', '');
    },
  };
}

export default defineConfig({
  plugins: [react(), keepDist()],
  // soc/api puts each page's nonce in this place.
  html: { cspNonce: '__ICEWATCH_NONCE__' },
  build: {
    // The domestic browsers we serve are built on Chromium 90 and later.
    target: 'chrome90',
    cssTarget: 'chrome90',
    // The content security policy allows no data: address, so nothing is inlined.
    assetsInlineLimit: 0,
    reportCompressedSize: false,
    // G6, which draws topologies, comes with the first picture.
    chunkSizeWarningLimit: 1700,
    rollupOptions: {
      output: {
        manualChunks(id) {
          if (id.includes('node_modules/echarts') || id.includes('node_modules/zrender')) return 'charts';
          if (/node_modules\/(react|react-dom|react-router|react-router-dom|@remix-run|scheduler|@tanstack)\//.test(id)) return 'react';
          return undefined;
        },
      },
    },
  },
  server: {
    // `npm run dev` talks to a suite started beside it. The host stays the one that the browser asked, or the suite
    // takes a sign-in for one from a foreign page.
    proxy: { '/api': { target: process.env.ICEWATCH_URL ?? 'http://127.0.0.1:8080', changeOrigin: false } },
  },
  test: { environment: 'node', include: ['src/**/*.test.ts'] },
});
