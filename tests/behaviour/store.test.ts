import { createStorePromise, nanoid, signal } from '@livestore/livestore'
import { expect, test } from 'vitest'

import { makeAdapter } from '#side'
import { different } from './different.js'
import { created, follow, ids, isShutDown, open, rejected, shutLater, sleep, storeOptionsOf, tables, thrown, until } from './support.js'

const { todos } = tables as any

test('a store knows its id, its schema and its context', async () => {
  const context = { user: 'ann' }
  const options = storeOptionsOf({ options: { storeId: `Ab_-${nanoid(4)}`, context } })
  const store: any = shutLater(await createStorePromise(options))
  expect(store.storeId).toBe(options.storeId)
  expect(store.schema).toBe(options.schema)
  expect(store.context).toBe(context)
  expect((await open()).context).toEqual({})
  expect(store.params.eventQueryBatchSize).toBe(100)
})

test('a store knows who commits', async () => {
  const store: any = await open({ options: { adapter: makeAdapter({ clientId: 'ann' }) } })
  expect(store.clientId).toBe('ann')
  expect(store.sessionId).toMatch(/./)
})

test('a store id has letters, digits, _ and -', async () => {
  for (const storeId of ['not an id', '', 'a.b', 'a/b']) {
    expect(await rejected(open({ options: { storeId } }))).toMatch(/store ?id/i)
  }
})

test('boot runs before anybody else has the store, at once or later', async () => {
  const boot = (store: any) => void store.commit(created('a'))
  expect(ids(await open({ options: { boot } }), todos)).toBe('a')
  const later = async (store: any) => {
    await sleep(5)
    store.commit(created('b'))
  }
  expect(ids(await open({ options: { boot: later } }), todos)).toBe('b')
})

test('a store of which boot fails is not opened', async () => {
  const boot = () => {
    throw new Error('boot failed')
  }
  expect(await rejected(open({ options: { boot } }))).toMatch(/boot failed/)
  expect(await rejected(open({ options: { boot: async () => boot() } }))).toMatch(/boot failed/)
})

test('onBootStatus is told how far it is, from `loading`', async () => {
  const seen: any[] = []
  await open({ options: { onBootStatus: (status: unknown) => seen.push(status) } })
  expect(seen[0]).toEqual({ stage: 'loading' })
})

test('batchUpdates runs what tells followers of a commit', async () => {
  let runs = 0
  const batchUpdates = (run: () => void) => {
    runs++
    run()
  }
  const store = await open({ options: { batchUpdates } })
  const seen = follow(store, todos.count())
  const before = runs
  store.commit(created('a'))
  expect([seen, runs - before]).toEqual([[0, 1], 1])
})

test('stores are found at the console while they are open', async () => {
  const store = await open()
  expect(globalThis.__debugLiveStore?.[store.storeId]).toBe(store)
  await store.shutdownPromise()
  expect(globalThis.__debugLiveStore?.[store.storeId]).toBeUndefined()
})

test('a store that is shut down refuses everything, and says why', async () => {
  const store = await open()
  const seen = follow(store, todos.count())
  await store.shutdownPromise()
  const uses: Record<string, () => unknown> = {
    commit: () => store.commit(created('a')),
    query: () => store.query(todos),
    subscribe: () => store.subscribe(todos, () => {}),
    setSignal: () => store.setSignal(signal(1), 2),
    syncStatus: () => store.syncStatus(),
    subscribeSyncStatus: () => store.subscribeSyncStatus(() => {}),
  }
  for (const [operation, use] of Object.entries(uses)) {
    expect(thrown(use)).toContain(`Store has been shut down (while performing "${operation}").`)
  }
  expect(seen).toEqual([0])
})

test('a follower of a store that is shut down can still stop', async () => {
  const store = await open()
  const stops = [store.subscribe(todos.count(), () => {}), store.subscribeSyncStatus(() => {})]
  await store.shutdownPromise()
  for (const stop of stops) expect(thrown(stop)).toBe('')
})

test('without a backend, events() waits', async () => {
  const store = await open()
  store.commit(created('a'))
  const events = store.events()[Symbol.asyncIterator]()
  expect(await Promise.race([events.next(), sleep(200).then(() => 'waits')])).toBe('waits')
})

test('the status names positions and counts what is not yet confirmed', async () => {
  const store = await open()
  expect(store.syncStatus()).toMatchObject({ localHead: 'e0', upstreamHead: 'e0', pendingCount: 0 })
  store.commit(created('a'), created('b'))
  expect(store.syncStatus()).toMatchObject({ localHead: 'e2', upstreamHead: 'e0', pendingCount: 2, isSynced: false })
})

test('the status can be followed', async () => {
  const store = await open()
  const seen: string[] = []
  store.subscribeSyncStatus(({ localHead }: any) => seen.push(localHead))
  store.commit(created('a'))
  await until(() => expect(seen.at(-1)).toBe('e1'))
})

test('the network status is there', async () => {
  const store = await open()
  expect(store.networkStatus).toBeTypeOf('object')
})

// What differs.

different('storage-mode', {
  livestore: async () => {
    expect((await open()).storageMode).toBe('persisted')
  },
  ours: async () => {
    expect((await open()).storageMode).toBe('in-memory')
  },
})

different('sync-status-is-about-the-backend', {
  livestore: async () => {
    const store = await open()
    expect(store.syncStatus().isSynced).toBe(true)
    store.commit(created('a'))
    const all = { localHead: 'e1', upstreamHead: 'e1', pendingCount: 0, isSynced: true }
    await until(() => expect(store.syncStatus()).toEqual(all))
  },
  ours: async () => {
    const store = await open()
    expect(store.syncStatus().isSynced).toBe(false)
    store.commit(created('a'))
    await sleep(200)
    expect(store.syncStatus()).toMatchObject({ upstreamHead: 'e0', pendingCount: 1, isSynced: false, connection: 'noBackend' })
  },
})

const callsAtOnce = async () => {
  const store = await open()
  let calls = 0
  store.subscribeSyncStatus(() => calls++)
  return calls
}
different('sync-status-is-told-at-once', {
  livestore: async () => {
    expect(await callsAtOnce()).toBe(0)
  },
  ours: async () => {
    expect(await callsAtOnce()).toBe(1)
  },
})

const afterStop = async () => {
  const store = await open()
  const seen: string[] = []
  const stop = store.subscribeSyncStatus(({ localHead }: any) => seen.push(localHead))
  store.commit(created('a'))
  await until(() => expect(seen.at(-1)).toBe('e1'))
  stop()
  await sleep(100)
  store.commit(created('b'))
  return seen
}
different('sync-status-can-be-left', {
  livestore: async () => {
    const seen = await afterStop()
    await until(() => expect(seen.at(-1)).toBe('e2'))
  },
  ours: async () => {
    const seen = await afterStop()
    await sleep(100)
    expect(seen.at(-1)).toBe('e1')
  },
})

const eventsOfClosed = async () => {
  const store = await open()
  await store.shutdownPromise()
  return thrown(() => store.events())
}
different('events-of-closed-stores', {
  livestore: async () => {
    expect(await eventsOfClosed()).toBe('')
  },
  ours: async () => {
    expect(await eventsOfClosed()).toMatch(/has been shut down \(while performing "events"\)/)
  },
})

const stages = async () => {
  const seen: string[] = []
  await open({ options: { onBootStatus: ({ stage }: any) => seen.push(stage) } })
  return seen
}
different('boot-status-ends', {
  livestore: async () => {
    expect(await stages()).toEqual(['loading'])
  },
  ours: async () => {
    expect(await stages()).toEqual(['loading', 'done'])
  },
})

const own = new RangeError('mine')
const bootError = async () => {
  const boot = () => {
    throw own
  }
  return open({ options: { boot } }).then(() => undefined, (error: any) => error)
}
different('errors-of-boot', {
  livestore: async () => {
    const error = await bootError()
    expect(error).not.toBe(own)
    expect(error).not.toBeInstanceOf(RangeError)
  },
  ours: async () => {
    expect(await bootError()).toBe(own)
  },
})

const reported = async () => {
  let names: string[] = []
  const boot = (_: unknown, { migrationsReport }: any) => {
    names = migrationsReport.migrations.map(({ tableName }: any) => tableName)
  }
  await open({ options: { boot } })
  return names
}
different('migrations-report', {
  livestore: async () => {
    expect(await reported()).toEqual(['todos', 'notes', 'ui'])
  },
  ours: async () => {
    expect(await reported()).toEqual([])
  },
})

const long = 'a'.repeat(65)
different('store-ids', {
  livestore: async () => {
    expect((await open({ options: { storeId: long } })).storeId).toBe(long)
    expect((await open({ options: { storeId: undefined } })).storeId).toBeUndefined()
  },
  ours: async () => {
    for (const storeId of [long, undefined]) expect(await rejected(open({ options: { storeId } }))).not.toBe('')
  },
})

const aborted = async () => {
  const abort = new AbortController()
  const store = await open({ options: { signal: abort.signal } })
  abort.abort()
  // It is closed: it is not found any more.
  await until(() => expect(globalThis.__debugLiveStore?.[store.storeId]).toBeUndefined())
  return store
}
different('closed-stores-say-so', {
  livestore: async () => {
    expect(isShutDown(await aborted())).toBe(false)
  },
  ours: async () => {
    expect(isShutDown(await aborted())).toBe(true)
  },
})

different('aborted-before-opening', {
  livestore: async () => {
    expect(await rejected(open({ options: { signal: AbortSignal.abort(own) } }))).toBe('')
  },
  ours: async () => {
    expect(await rejected(open({ options: { signal: AbortSignal.abort(own) } }))).toBe('mine')
  },
})

const again = async () => {
  const store = await open()
  await store.shutdownPromise()
  return rejected(store.shutdownPromise())
}
different('shutting-down-twice', {
  livestore: async () => {
    expect(await again()).toMatch(/has been shut down \(while performing "shutdownPromise"\)/)
  },
  ours: async () => {
    expect(await again()).toBe('')
  },
})

const STREAMS = ['subscribeStream', 'eventsStream', 'syncStatusStream']
different('effects', {
  livestore: async () => {
    const store = await open()
    for (const stream of STREAMS) expect(store[stream]).toBeTypeOf('function')
    expect(store.networkStatus.get).not.toBeTypeOf('function')
    expect(store.shutdown()).toBeTypeOf('object')
  },
  ours: async () => {
    const store = await open()
    for (const stream of STREAMS) expect(store[stream]).toBeUndefined()
    expect(store.networkStatus.get()).toEqual({ isConnected: false, timestampMs: expect.any(Number) })
    const seen: unknown[] = []
    store.networkStatus.subscribe((status: any) => seen.push(status.isConnected))
    expect(seen).toEqual([false])
    expect(store.shutdown()).toBeUndefined()
    expect(isShutDown(store)).toBe(true)
  },
})

different('dev-helpers', {
  livestore: async () => {
    expect(Object.keys((await open())._dev)).toContain('syncStates')
  },
  ours: async () => {
    expect((await open())._dev).toBeUndefined()
  },
})

different('sync-payload', {
  livestore: async () => void (await open({ options: { syncPayload: { authToken: 'secret' } } })),
  ours: async () => {
    expect(await rejected(open({ options: { syncPayload: { authToken: 'secret' } } }))).toMatch(/there is no syncPayload here/)
  },
})

different('store-options-of-effect', {
  livestore: async () => expect(await rejected(open({ options: { logger: 5 } }))).not.toBe(''),
  ours: async () => void (await open({ options: { logger: 5 } })),
})
