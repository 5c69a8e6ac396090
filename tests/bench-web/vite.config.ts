import { fileURLToPath } from 'node:url'

import { defineConfig } from 'vite'

const livestore = (entry: string) =>
  fileURLToPath(new URL(`../interop/node_modules/@livestore/${entry}`, import.meta.url))

// With these, the page's clock ticks every 5 µs; without them, every 100.
const headers = { 'Cross-Origin-Opener-Policy': 'same-origin', 'Cross-Origin-Embedder-Policy': 'require-corp' }

export default defineConfig({
  root: fileURLToPath(new URL('.', import.meta.url)),
  resolve: {
    alias: [
      { find: /^livestore-0\.4$/, replacement: livestore('livestore/dist/mod.js') },
      { find: /^livestore-0\.4-adapter-web$/, replacement: livestore('adapter-web/dist/index.js') },
    ],
  },
  build: { target: 'esnext', modulePreload: false, reportCompressedSize: false, chunkSizeWarningLimit: 4096 },
  preview: { host: '127.0.0.1', headers },
})
