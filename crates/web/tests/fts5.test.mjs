// What the engine with full-text search has more than the other one: `cargo xtask web`.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { commit, open, withNotes, write } from './support.mjs'

test('texts are found by their words, live', () => {
  const { store } = open({ schema: withNotes }, {
    materialize: (_name, args) => JSON.stringify([write('INSERT INTO notes VALUES (?, ?)', ...JSON.parse(args))]),
  })
  const text = 'SELECT rowid FROM notes_text WHERE notes_text MATCH ? ORDER BY rowid'
  const found = store.liveQuery(JSON.stringify({ sql: { text, binds: ['reading'] } }))
  commit(store, ['v1.Noted', [1, 'What I read']], ['v1.Noted', [2, 'What I heard']])
  assert.deepEqual(found.take(), [0, 0, [1]])
  commit(store, ['v1.Noted', [3, 'She reads more']])
  assert.deepEqual(found.take(), [0, 1, [3]])
})
