import { fileURLToPath } from 'node:url'

import { defineConfig } from 'vitest/config'

import { behaviour } from './tests/behaviour/projects.js'

const path = (relative: string) => fileURLToPath(new URL(relative, import.meta.url))

// As an app has them that gets them from npm: as they are, and not as a part of its own code.
const asInstalled = [/packages\/[^/]+\/(dist|engine)/]

const react18 = ['react', 'react-dom'].map((name) => ({
  find: new RegExp(`^${name}(?=/|$)`),
  replacement: path(`./tests/react-18/node_modules/${name}`),
}))

export default defineConfig({
  test: {
    // LiveStore tells the console what it does not throw.
    silent: 'passed-only',
    projects: [
      {
        test: {
          name: 'packages',
          include: ['packages/{livestore,adapter-web,sync-ws}/tests/**/*.test.ts', 'packages/tests/**/*.test.{ts,tsx}'],
          environment: 'node',
          server: { deps: { external: asInstalled } },
        },
      },
      {
        test: {
          name: 'in Chromium',
          include: ['tests/e2e/**/*.test.ts'],
          environment: 'node',
          testTimeout: 60_000,
          hookTimeout: 60_000,
        },
      },
      {
        test: {
          name: 'react 19',
          include: ['packages/react/tests/**/*.test.tsx'],
          environment: 'jsdom',
          server: { deps: { external: asInstalled } },
        },
      },
      {
        resolve: { alias: react18 },
        test: {
          name: 'react 18',
          include: ['packages/react/tests/**/*.test.tsx'],
          environment: 'jsdom',
          server: {
            deps: {
              external: [/packages\/(common|livestore|adapter-web|sync-ws)\/(dist|engine)/],
              // Whatever renders has to have the other React.
              inline: [/packages\/react/],
            },
          },
        },
      },
      ...behaviour,
    ],
  },
})
