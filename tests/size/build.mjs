// Builds the app of `app.tsx` with each choice of packages, a chunk for each package: node build.mjs FOLDER CHOICE…

import { fileURLToPath } from 'node:url'
import { build } from 'vite'

const [out, ...choices] = process.argv.slice(2)
const here = fileURLToPath(new URL('.', import.meta.url))
const theirs = fileURLToPath(new URL('../interop/node_modules/', import.meta.url))

const group = (name, test) => ({ name, test })
const groups = [
  group('react-dom', /node_modules\/(react|react-dom|scheduler)\//),
  group('livestore', /packages\/(common|livestore)\/|node_modules\/nanoid\//),
  group('adapter-web', /packages\/adapter-web\//),
  group('react', /packages\/react\//),
  group('valibot', /node_modules\/valibot\//),
  group('effect', /node_modules\/(effect|@effect)\//),
  group('livestore-0.4', /node_modules\/@livestore\//),
]

for (const choice of choices) {
  const isTheirs = choice === 'livestore-0.4'
  const alias = [
    { find: './side.js', replacement: `${here}side-${isTheirs ? choice : 'ours'}.ts` },
    { find: './payload.js', replacement: `${here}payload-${choice}.ts` },
  ]
  // What they ask for themselves is found beside them.
  const entries = { livestore: 'dist/mod.js', 'adapter-web': 'dist/index.js', react: 'dist/mod.js' }
  for (const [name, entry] of isTheirs ? Object.entries(entries) : []) {
    alias.push({ find: new RegExp(`^@livestore/${name}$`), replacement: `${theirs}@livestore/${name}/${entry}` })
  }
  await build({
    root: here,
    configFile: false,
    logLevel: 'error',
    resolve: { alias, dedupe: ['react', 'react-dom'] },
    worker: { format: 'es' },
    build: {
      target: 'es2022',
      outDir: `${out}/${choice}`,
      emptyOutDir: true,
      chunkSizeWarningLimit: 10_000,
      rolldownOptions: {
        input: `${here}app.tsx`,
        output: {
          entryFileNames: '[name].js',
          chunkFileNames: '[name].js',
          assetFileNames: '[name][extname]',
          codeSplitting: { groups },
        },
      },
    },
  })
}
