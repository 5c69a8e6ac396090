// An engine that has stopped; a file of its own, since there is no way back.

import { makeInMemoryAdapter } from '@livestore-rs/adapter-web'
import { isStopped } from '@livestore-rs/common/internal'
import { createStore } from '@livestore-rs/livestore'
import { expect, test, vi } from 'vitest'

import { created, open, schema, tables } from './support.js'

test('an engine that was left in the middle of something is used no more, and what it showed stays', async () => {
  const store = open()
  store.commit(created('a'))
  const seen: unknown[] = []
  let live: any
  store.subscribe(tables.todos.count(), (count) => seen.push(count), { onSubscribe: (query) => (live = query) })
  const { engine } = store[Symbol.for('livestore.StoreInternals') as never] as { engine: any }
  // As of a memory that could not grow: only here can nothing else make it so.
  vi.spyOn(Object.getPrototypeOf(engine), 'commit').mockImplementationOnce(() => {
    throw new WebAssembly.RuntimeError('unreachable')
  })
  expect(isStopped()).toBe(false)
  const stopped = expect.objectContaining({ _tag: 'EnginePanicked', message: expect.stringMatching(/load the page anew/) })
  expect(() => store.commit(created('b'))).toThrow(stopped)
  expect(isStopped()).toBe(true)
  for (const use of [
    () => store.commit(created('c')),
    () => store.query(tables.todos),
    () => store.syncStatus(),
    () => store.deadLetters(),
    () => live.explain(),
    () => createStore({ schema, adapter: makeInMemoryAdapter(), storeId: 'another' }),
  ]) {
    expect(use).toThrow(stopped)
  }
  await expect(store.events()[Symbol.asyncIterator]().next()).rejects.toThrow(stopped)
  // Closing it reports nothing, which would come from what is half done.
  const reported = vi.spyOn(console, 'error')
  store.shutdown()
  await new Promise((resolve) => setTimeout(resolve))
  expect(reported).not.toHaveBeenCalled()
  expect(seen).toEqual([1])
})
