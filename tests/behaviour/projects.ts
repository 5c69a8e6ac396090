/** The suite runs twice: `@livestore/livestore` is LiveStore 0.4.0 first, and then what this repository makes. */
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const path = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url))

const LIVESTORE = path('../interop/node_modules/@livestore')

interface Alias {
  readonly find: RegExp
  readonly replacement: string
}

/** Without LiveStore, its tests fail and say what is to be done. */
const livestore: ReadonlyArray<Alias> = existsSync(LIVESTORE)
  ? [
      { find: /^#side$/, replacement: path('./sides/livestore.ts') },
      { find: /^@livestore\/livestore$/, replacement: `${LIVESTORE}/livestore/dist/mod.js` },
      { find: /^@livestore\/react$/, replacement: `${LIVESTORE}/react/dist/mod.js` },
      { find: /^@livestore\/adapter-node$/, replacement: `${LIVESTORE}/adapter-node/dist/index.js` },
    ]
  : [{ find: /^(#side|@livestore\/(livestore|react))$/, replacement: path('./sides/missing.ts') }]

const ours: ReadonlyArray<Alias> = [{ find: /^#side$/, replacement: path('./sides/ours.ts') }]

const project = (name: string, aliases: ReadonlyArray<Alias>) => ({
  resolve: { alias: [...aliases] },
  test: {
    name: `behaviour: ${name}`,
    include: ['tests/behaviour/**/*.test.ts'],
    environment: 'node',
    // Stores share nothing, and LiveStore takes a while to load.
    isolate: false,
    testTimeout: 60_000,
    server: { deps: { external: [/packages\/[^/]+\/(dist|engine)/] } },
  },
})

export const behaviour = [project('LiveStore 0.4.0', livestore), project('ours', ours)]
