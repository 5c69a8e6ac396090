// What JavaScript sees when the engine panics; in a process of its own, as nothing works afterwards.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Host, StoreHandle, schema } from './support.mjs'

test('a panic is an error that says what has happened', (t) => {
  const reported = t.mock.method(console, 'error', () => {})
  const host = new Host()
  const store = new StoreHandle(JSON.stringify({ storeId: 'test', schema }), host)
  // A computed value that reads itself; TypeScript sees it coming.
  const cycle = store.liveComputed(host.define(() => cycle.value()))
  const message = /panicked at .*\.rs:\d+:\d+:\ncycle: a computed value reads itself/
  assert.throws(() => cycle.value(), { _tag: 'EnginePanicked', message })
  assert.match(reported.mock.calls[0].arguments[0].message, message)
})
