// What JavaScript sees when the engine panics; in a process of its own, as nothing works afterwards.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { commit, created, folderOfTest, isStopped, open, pause, serve, synced } from './support.mjs'

test('a panic is an error that says what has happened, and nothing of the engine goes on by itself', async (t) => {
  const reported = t.mock.method(console, 'error', () => {})
  const { url } = await serve(folderOfTest())
  const { store, host } = open({ sync: { url } })
  await synced(store)
  assert.equal(isStopped(), false)
  // A computed value that reads itself; TypeScript sees it coming.
  const cycle = store.liveComputed(host.define(() => cycle.value()))
  const message = /panicked at .*\.rs:\d+:\d+:\ncycle: a computed value reads itself/
  assert.throws(() => cycle.value(), { _tag: 'EnginePanicked', message })
  assert.match(reported.mock.calls[0].arguments[0].message, message)
  assert.equal(isStopped(), true)
  // TypeScript would not ask it any more.
  const confirmed = commit(store, created('a')).confirmed()
  assert.equal(await Promise.race([confirmed, pause(500)]), undefined)
})
