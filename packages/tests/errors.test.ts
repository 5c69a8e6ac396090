// Each error has a link to the table of errors in the guide, which has to have its tag.

import { globSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

import { expect, test } from 'vitest'

const root = fileURLToPath(new URL('../..', import.meta.url))
const read = (pattern: string) => globSync(root + pattern).map((path) => readFileSync(path, 'utf8')).join('\n')

/** Commands are Rust's alone. */
const UNUSED = ['CommandError', 'UnknownCommand']

const tags = (source: string, patterns: ReadonlyArray<RegExp>) =>
  patterns.flatMap((pattern) => [...source.matchAll(pattern)].map(([, tag]) => tag as string))

test('each tag of an error is in the table of the guide', () => {
  const thrown = new Set([
    ...tags(read('packages/*/src/**/*.{ts,tsx}'), [/LiveStoreError\(\s*'(\w+)'/g]),
    ...tags(read('crates/web/src/**/*.rs'), [/tagged\(\s*"(\w+)"/g]),
    ...tags(read('crates/web/src/error.rs'), [/=> "(\w+)"/g]),
  ])
  expect(thrown).toContain('StoreClosed')
  const [, table] = read('docs/guide/typescript.md').split('\n## Errors\n')
  const explained = tags(table!, [/^\| (`.*?) \|/gm]).flatMap((cell) => tags(cell, [/`(\w+)`/g]))
  expect([...thrown].filter((tag) => !explained.includes(tag) && !UNUSED.includes(tag))).toEqual([])
  expect(explained.filter((tag) => tag !== '_tag' && !thrown.has(tag))).toEqual([])
})
