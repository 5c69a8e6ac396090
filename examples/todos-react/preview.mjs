// Builds the example and serves it, at a port that is free; the first line says where: {"url": "http://…"}.

import { fileURLToPath } from 'node:url'
import { build, preview } from 'vite'

const root = fileURLToPath(new URL('.', import.meta.url))
await build({ root, logLevel: 'error', build: { chunkSizeWarningLimit: 1000 } })
const server = await preview({ root, preview: { host: '127.0.0.1', port: 0, open: false } })
const { port } = server.httpServer.address()
console.log(JSON.stringify({ url: `http://127.0.0.1:${port}/` }))
