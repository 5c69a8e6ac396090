import { State, StoreRegistry, storeOptions } from '@livestore/livestore'
import { expect, test } from 'vitest'

import { makeAdapter } from '#side'
import { different } from './different.js'
import { created, follow, isShutDown, rejected, schemaOf, shutLater, sleep, storeOptionsOf, tables, thrown, until } from './support.js'

const { todos } = tables as any

const load = async (registry: StoreRegistry, options: any): Promise<any> => shutLater(await registry.getOrLoadPromise(options))

/** Whether the registry has closed a store: then it is not found at the console any more. */
const isClosed = (store: any): boolean => globalThis.__debugLiveStore?.[store.storeId] === undefined

test('storeOptions() returns what it is given', () => {
  const options = storeOptionsOf()
  expect(storeOptions(options)).toBe(options)
})

test('who asks for one id is given one store', async () => {
  const registry = new StoreRegistry()
  const options = storeOptionsOf()
  const [one, other] = [registry.getOrLoadPromise(options), registry.getOrLoadPromise(options)]
  expect(one).toBe(other)
  const store = shutLater(await one)
  expect(registry.getOrLoadPromise(options)).toBe(store)
  expect(registry.getOrLoadPromise({ ...options, adapter: makeAdapter() })).toBe(store)
  expect(await load(registry, storeOptionsOf())).not.toBe(store)
})

test('a store that takes a while is waited for by all with one promise', async () => {
  const registry = new StoreRegistry()
  const options = storeOptionsOf({ options: { boot: () => sleep(20) } })
  const promise = registry.getOrLoadPromise(options)
  expect(promise).toBeInstanceOf(Promise)
  expect(registry.getOrLoadPromise(options)).toBe(promise)
  expect(registry.getOrLoadPromise(options)).toBe(promise)
  const store = shutLater(await promise)
  expect(registry.getOrLoadPromise(options)).toBe(store)
})

test('a store stays open as long as it is used, and a while longer', async () => {
  const registry = new StoreRegistry()
  const options = storeOptionsOf({ options: { unusedCacheTime: 200 } })
  const store = await load(registry, options)
  const releases = [registry.retain(options), registry.retain(options)]
  releases[0]!()
  releases[0]!()
  await sleep(500)
  expect(isClosed(store)).toBe(false)
  releases[1]!()
  await until(() => expect(isClosed(store)).toBe(true))
})

test('who uses a store again in time keeps it open', async () => {
  const registry = new StoreRegistry()
  const options = storeOptionsOf({ options: { unusedCacheTime: 1000 } })
  const store = await load(registry, options)
  registry.retain(options)()
  await sleep(20)
  const again = registry.retain(options)
  await sleep(1500)
  expect([isClosed(store), registry.getOrLoadPromise(options) === store]).toEqual([false, true])
  again()
})

test('in Node, a store stays open if nothing else is said', async () => {
  const registry = new StoreRegistry()
  const options = storeOptionsOf()
  const store = await load(registry, options)
  registry.retain(options)()
  await sleep(100)
  expect(isClosed(store)).toBe(false)
})

test('preload() opens a store for later, and never fails', async () => {
  const registry = new StoreRegistry()
  const options = storeOptionsOf()
  expect(await registry.preload(options)).toBeUndefined()
  expect(registry.getOrLoadPromise(options)).not.toBeInstanceOf(Promise)
  shutLater(registry.getOrLoadPromise(options) as any)
  const boot = () => {
    throw new Error('boot failed')
  }
  expect(await registry.preload(storeOptionsOf({ options: { boot } }))).toBeUndefined()
})

test('a wrong store id is told at once', () => {
  expect(thrown(() => new StoreRegistry().getOrLoadPromise(storeOptionsOf({ options: { storeId: 'not an id' } })))).toMatch(/store ?id/i)
})

test('defaults of a registry hold for its stores, and their own options come first', async () => {
  const calls: string[] = []
  const batch = (name: string) => (run: () => void) => {
    calls.push(name)
    run()
  }
  const registry = new StoreRegistry({ defaultOptions: { batchUpdates: batch('default') } })
  for (const options of [{}, { batchUpdates: batch('own') }]) {
    const store = await load(registry, storeOptionsOf({ options }))
    follow(store, todos.count())
    calls.length = 0
    store.commit(created('a'))
    expect(calls).toEqual([options.batchUpdates === undefined ? 'default' : 'own'])
  }
})

test('dispose() closes all stores', async () => {
  const registry = new StoreRegistry()
  const stores = [await load(registry, storeOptionsOf()), await load(registry, storeOptionsOf())]
  await registry.dispose()
  await until(() => expect(stores.map(isClosed)).toEqual([true, true]))
  await expect((async () => registry.getOrLoadPromise(storeOptionsOf()))()).rejects.toThrow()
})

// What differs.

different('stores-at-once', {
  livestore: async () => {
    const first = new StoreRegistry().getOrLoadPromise(storeOptionsOf())
    expect(first).toBeInstanceOf(Promise)
    shutLater(await first)
  },
  ours: async () => {
    const first = new StoreRegistry().getOrLoadPromise(storeOptionsOf())
    expect(first).not.toBeInstanceOf(Promise)
    shutLater(await first)
  },
})

const retainedFirst = async () => {
  const registry = new StoreRegistry()
  const options = storeOptionsOf({ options: { unusedCacheTime: 20 } })
  registry.retain(options)
  return load(registry, options)
}
different('registry-keeps-what-is-used', {
  livestore: async () => {
    const store = await retainedFirst()
    await until(() => expect(isClosed(store)).toBe(true))
  },
  ours: async () => {
    const store = await retainedFirst()
    await sleep(200)
    expect(isClosed(store)).toBe(false)
  },
})

/** Tries twice to open a store that cannot be opened the first time. */
const twice = async () => {
  const registry = new StoreRegistry()
  let tries = 0
  const boot = () => {
    tries++
    if (tries === 1) throw new Error('boot failed')
  }
  const options = storeOptionsOf({ options: { boot } })
  const attempt = async () => rejected((async () => void shutLater((await registry.getOrLoadPromise(options)) as any))())
  return [await attempt(), await attempt(), tries]
}
different('registry-retries', {
  livestore: async () => {
    expect(await twice()).toEqual([expect.stringContaining('boot failed'), expect.stringContaining('boot failed'), 1])
  },
  ours: async () => {
    expect(await twice()).toEqual(['boot failed', '', 2])
  },
})

const otherSchema = async (schema: any) => {
  const registry = new StoreRegistry()
  const options = storeOptionsOf()
  const store = await load(registry, options)
  return { store, ask: () => registry.getOrLoadPromise({ ...options, schema }) }
}
test('a schema with the same tables and events is the same, as that of a module which was loaded anew', async () => {
  const { store, ask } = await otherSchema(schemaOf())
  expect(ask()).toBe(store)
})
const more = { more: State.SQLite.table({ name: 'more', columns: { id: State.SQLite.text({ primaryKey: true }) } }) }
different('registry-other-schema', {
  livestore: async () => {
    const { store, ask } = await otherSchema(schemaOf({ tables: more }))
    expect(ask()).toBe(store)
  },
  ours: async () => {
    const { ask } = await otherSchema(schemaOf({ tables: more }))
    expect(thrown(ask)).toMatch(/is open with another schema/)
  },
})

const afterShutdown = async () => {
  const registry = new StoreRegistry()
  const options = storeOptionsOf()
  const store = await load(registry, options)
  await store.shutdownPromise()
  const next = await load(registry, options)
  return [next === store, isShutDown(next)]
}
different('registry-reopens', {
  livestore: async () => {
    expect(await afterShutdown()).toEqual([true, true])
  },
  ours: async () => {
    expect(await afterShutdown()).toEqual([false, false])
  },
})

const closed = async () => {
  const [unused, disposed] = [new StoreRegistry(), new StoreRegistry()]
  const options = storeOptionsOf({ options: { unusedCacheTime: 10 } })
  const stores = [await load(unused, options), await load(disposed, storeOptionsOf())]
  unused.retain(options)()
  await disposed.dispose()
  await until(() => expect(stores.map(isClosed)).toEqual([true, true]))
  return stores.map(isShutDown)
}
different('registry-closes', {
  livestore: async () => {
    expect(await closed()).toEqual([false, false])
  },
  ours: async () => {
    expect(await closed()).toEqual([true, true])
  },
})

