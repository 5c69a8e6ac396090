// Stores that sync with a real server, over WebSocket.

import { makeInMemoryAdapter } from '@livestore-rs/adapter-web'
import { createStore, createStorePromise, Events, makeSchema, Schema, State, type Store } from '@livestore-rs/livestore'
import { makeWsSync, SignedOut } from '@livestore-rs/sync-ws'
import { afterEach, expect, test, vi } from 'vitest'

import { newFolder, serve as serveIn } from './processes.js'

const undone: Array<() => unknown> = []
afterEach(async () => {
  for (const undo of undone.splice(0).reverse()) await undo()
})

const serve = async () => {
  const { path, remove } = newFolder()
  const server = await serveIn(path)
  undone.push(remove, server.stop)
  return server.url
}

const events = {
  added: Events.synced({ name: 'v1.Added', schema: Schema.Struct({ id: Schema.String, at: Schema.Date }) }),
  taken: Events.synced({ name: 'v1.Taken', schema: Schema.Struct({ name: Schema.String, by: Schema.String }) }),
}
const tables = {
  items: State.SQLite.table({
    name: 'items',
    columns: { id: State.SQLite.text({ primaryKey: true }), at: State.SQLite.datetime() },
  }),
  names: State.SQLite.table({
    name: 'names',
    columns: { name: State.SQLite.text({ primaryKey: true }), by: State.SQLite.text() },
  }),
}
const materializers = State.SQLite.materializers(events, {
  'v1.Added': ({ id, at }) => tables.items.insert({ id, at }),
  'v1.Taken': ({ name, by }) => tables.names.insert({ name, by }),
})
const schema = makeSchema({ events, state: State.SQLite.makeState({ tables, materializers }) })
const added = (id: string) => events.added({ id, at: new Date(0) })

const open = (clientId: string, url: string) => {
  const adapter = makeInMemoryAdapter({ clientId, sync: { backend: makeWsSync({ url }) } })
  const store = createStore({ schema, adapter, storeId: 'shared' })
  undone.push(() => store.shutdown())
  return store
}
const synced = (store: Store<any, any>, head: number) =>
  vi.waitFor(() => expect(store.syncStatus()).toMatchObject({ isSynced: true, confirmedHead: head }), { timeout: 10_000 })

test('two clients see what the other commits, and receipts tell where it came to stand', async () => {
  const url = await serve()
  const [ann, bob] = [open('ann', url), open('bob', url)]
  const seen: number[] = []
  bob.subscribe(tables.items.count(), (count) => seen.push(count))
  const receipt = ann.commit(added('a'), added('b'))
  expect(await receipt.confirmed).toEqual({ first: 1, last: 2 })
  await synced(bob, 2)
  expect(seen).toEqual([0, 2])
  expect(bob.query(tables.items.orderBy('id', 'asc'))).toEqual(ann.query(tables.items.orderBy('id', 'asc')))
  expect(ann.syncStatus()).toMatchObject({ connection: 'connected', localHead: 'e2', upstreamHead: 'e2', pendingCount: 0 })
  expect(ann.networkStatus.get().isConnected).toBe(true)
})

test('confirmed events can be iterated over, those that come as well', async () => {
  const url = await serve()
  const [ann, bob] = [open('ann', url), open('bob', url)]
  ann.commit(added('a'), events.taken({ name: 'x', by: 'ann' }), added('b'))
  const ids: string[] = []
  setTimeout(() => void ann.commit(added('c')), 50)
  for await (const event of bob.events({ filter: ['v1.Added'], batchSize: 2 })) {
    expect(event).toMatchObject({ name: 'v1.Added', clientId: 'ann', args: { at: new Date(0) } })
    if (event.name === 'v1.Added') ids.push(`${event.args.id}${event.seqNum.global}`)
    if (ids.length === 3) break
  }
  expect(ids).toEqual(['a1', 'b3', 'c4'])
  const until: string[] = []
  const two = bob.events({ until: { global: 2, client: 0, rebaseGeneration: 0 } })
  for await (const event of two) until.push(event.name)
  expect(until).toEqual(['v1.Added', 'v1.Taken'])
  for await (const event of two) until.push(event.name)
  expect(until).toEqual(['v1.Added', 'v1.Taken', 'v1.Added', 'v1.Taken'])
  const waiting = bob.events({ since: { global: 4, client: 0, rebaseGeneration: 0 } })[Symbol.asyncIterator]()
  const next = waiting.next()
  await waiting.return?.()
  expect((await next).done).toBe(true)
})

test('a confirmed event whose arguments do not fit ends its iteration, by name', async () => {
  const url = await serve()
  const ann = open('ann', url)
  ann.commit(added('a'))
  await synced(ann, 1)
  const other = Events.synced({ name: 'v1.Added', schema: Schema.Struct({ id: Schema.Number }) })
  const state = State.SQLite.makeState({ tables: {}, materializers: State.SQLite.materializers({ other }, { 'v1.Added': () => [] }) })
  const adapter = makeInMemoryAdapter({ clientId: 'bob', sync: { backend: makeWsSync({ url }) } })
  const bob = createStore({ schema: makeSchema({ events: { other }, state }), adapter, storeId: 'shared' })
  undone.push(() => bob.shutdown())
  const next = bob.events()[Symbol.asyncIterator]().next()
  await expect(next).rejects.toMatchObject({
    _tag: 'DecodeError',
    event: 'v1.Added',
    message: expect.stringContaining('stored arguments of the event v1.Added'),
  })
})

test('what cannot be kept becomes a dead letter, for the app to see', async () => {
  const url = await serve()
  const [ann, bob] = [open('ann', url), open('bob', url)]
  await Promise.all([synced(ann, 0), synced(bob, 0)])
  const letters: string[][] = []
  const unsubscribe = [ann, bob].map((store) =>
    store.subscribeDeadLetters((all) => letters.push(all.map(({ reason }) => reason.kind))),
  )
  const receipts = [ann.commit(events.taken({ name: 'x', by: 'ann' })), bob.commit(events.taken({ name: 'x', by: 'bob' }))]
  const fates = await Promise.all(receipts.map((receipt) => receipt.fate))
  expect(fates.sort()).toEqual(['confirmed', 'rejected'])
  await vi.waitFor(() => expect(letters.at(-1)).toEqual(['materializeFailed']))
  expect(ann.query(tables.names)).toEqual(bob.query(tables.names))
  const loser = [ann, bob].find((store) => store.deadLetters().length > 0)!
  const [letter] = loser.deadLetters()
  expect(loser.acknowledgeDeadLetter(letter!.group.id)).toBe(true)
  expect(loser.deadLetters()).toEqual([])
  unsubscribe.forEach((stop) => stop())
})

test('a store can be opened with what the backend has', async () => {
  const url = await serve()
  const ann = open('ann', url)
  await ann.commit(added('a')).confirmed
  const stages: string[] = []
  const bob = await createStorePromise({
    schema,
    storeId: 'shared',
    adapter: makeInMemoryAdapter({
      sync: { backend: makeWsSync({ url }), initialSyncOptions: { _tag: 'Blocking', timeout: '10 seconds' } },
    }),
    onBootStatus: ({ stage }) => stages.push(stage),
  })
  undone.push(() => bob.shutdown())
  expect(bob.query(tables.items.count())).toBe(1)
  expect([...new Set(stages)]).toEqual(['loading', 'syncing', 'done'])
})

test('waiting for a backend that is not there ends in time', async () => {
  const started = Date.now()
  const store = await createStorePromise({
    schema,
    storeId: 'alone',
    adapter: makeInMemoryAdapter({
      sync: { backend: makeWsSync({ url: 'ws://127.0.0.1:9' }), initialSyncOptions: { _tag: 'Blocking', timeout: 200 } },
    }),
  })
  undone.push(() => store.shutdown())
  expect(Date.now() - started).toBeLessThan(5000)
  store.commit(added('a'))
  expect(store.query(tables.items.count())).toBe(1)
})

test('whoever is signed out stops syncing and goes on', async () => {
  const url = await serve()
  const adapter = makeInMemoryAdapter({
    sync: {
      backend: makeWsSync({
        url,
        token: () => {
          throw new SignedOut('sign in again')
        },
      }),
    },
  })
  const store = createStore({ schema, adapter, storeId: 'signed-out' })
  undone.push(() => store.shutdown())
  await vi.waitFor(() => expect(store.syncStatus()).toMatchObject({ connection: 'stopped' }))
  expect(store.syncStatus().lastError).toMatch(/sign in again/)
  store.commit(added('a'))
  expect(() => makeWsSync({ url: 'https://example.com' })).toThrow(/wss:\/\/ or ws:\/\//)
})

test('opening that waits for a backend is given up when that is asked for', async () => {
  const controller = new AbortController()
  const initialSyncOptions = { _tag: 'Blocking', timeout: '1 minute' } as const
  const adapter = makeInMemoryAdapter({ sync: { backend: makeWsSync({ url: 'ws://127.0.0.1:9' }), initialSyncOptions } })
  const started = Date.now()
  const opening = createStorePromise({ schema, adapter, storeId: 'given-up', signal: controller.signal })
  setTimeout(() => controller.abort(), 50)
  await expect(opening).rejects.toMatchObject({ name: 'AbortError' })
  expect(Date.now() - started).toBeLessThan(10_000)
})

test('a store connects at once when there is a network again', async () => {
  const { path, remove } = newFolder()
  const first = await serveIn(path)
  undone.push(remove)
  const { addEventListener, removeEventListener } = globalThis
  const network = new EventTarget()
  Object.assign(globalThis, {
    addEventListener: network.addEventListener.bind(network),
    removeEventListener: network.removeEventListener.bind(network),
  })
  undone.push(() => Object.assign(globalThis, { addEventListener, removeEventListener }))
  const store = open('ann', first.url)
  await synced(store, 0)
  await first.stop()
  await vi.waitFor(() => expect(store.networkStatus.get().isConnected).toBe(false))
  const attempts = vi.spyOn(store, 'retryNow')
  network.dispatchEvent(new Event('online'))
  expect(attempts).toHaveBeenCalledTimes(1)
  store.shutdown()
  network.dispatchEvent(new Event('online'))
  expect(attempts).toHaveBeenCalledTimes(1)
})

test('an iteration over events that is ended while it waits is over', async () => {
  const store = open('ann', await serve())
  await synced(store, 0)
  const events = store.events({ filter: ['v1.Taken'] })[Symbol.asyncIterator]()
  const waiting = events.next()
  await new Promise((resolve) => setTimeout(resolve, 50))
  expect(await events.return?.()).toEqual({ done: true, value: undefined })
  expect(await waiting).toEqual({ done: true, value: undefined })
  expect(await events.next()).toEqual({ done: true, value: undefined })
})

test('an address that cannot be used is not told with what may be a secret', () => {
  expect(() => makeWsSync({ url: 'https://example.com/sync' })).toThrow('has to start with wss:// or ws://, and does not: https://example.com/sync')
  for (const url of ['wss:/me:secret@example.com', 'https://example.com?token=secret', 'example.com#secret']) {
    expect(() => makeWsSync({ url })).toThrow(/does not$/)
  }
})
