import {
  computed,
  isLiveQueryDef,
  isLiveQueryInstance,
  isQueryable,
  queryDb,
  Schema,
  signal,
} from '@livestore/livestore'
import { expect, test, vi } from 'vitest'

import { different } from './different.js'
import { completed, created, follow, noted, open, sleep, tables, thrown, until } from './support.js'

const { todos, notes } = tables as Record<'todos' | 'notes', any>

const filled = async () => {
  const store = await open()
  store.commit(created('a'), created('b'))
  return store
}

// Definitions.

test('a definition has a label and a hash', () => {
  const count$ = queryDb(todos.count(), { label: 'count' })
  expect(count$).toMatchObject({ _tag: 'def', label: 'count' })
  expect(typeof count$.hash).toBe('string')
  expect(queryDb(todos.where({ id: 'a' })).label).toBe(`SELECT * FROM 'todos' WHERE "id" = ?`)
  expect(computed((get) => get(count$), { label: 'x' }).label).toBe('x')
  expect(computed((get) => get(count$)).label).toBe('(get) => get(count$)')
  expect(signal(1, { label: 'one' })).toMatchObject({ _tag: 'signal-def', label: 'one', defaultValue: 1 })
})

test('equal queries have equal hashes; values and deps tell them apart', () => {
  const hash = (query: any, options?: object) => queryDb(query, options as never).hash
  expect(hash(todos.where({ id: 'a' }))).toBe(hash(todos.where({ id: 'a' })))
  expect(hash(todos.where({ id: 'a' }))).not.toBe(hash(todos.where({ id: 'b' })))
  expect(hash(todos, { deps: 1 })).not.toBe(hash(todos, { deps: 2 }))
  expect(signal(1).hash).not.toBe(signal(1).hash)
})

test('isQueryable, isLiveQueryDef and isLiveQueryInstance tell what is what', async () => {
  const store = await open()
  let instance: any
  store.subscribe(todos.count(), () => {}, { onSubscribe: (query$: unknown) => (instance = query$) })
  const tell = (value: unknown) => [isQueryable(value), isLiveQueryDef(value), isLiveQueryInstance(value)]
  expect(tell(todos)).toEqual([true, false, false])
  expect(tell(todos.where({}))).toEqual([true, false, false])
  for (const def of [queryDb(todos), computed(() => 1), signal(1)]) expect(tell(def)).toEqual([true, true, false])
  expect(tell(instance)).toEqual([true, false, true])
  for (const other of [{}, null, undefined, 'x', { query: 'SELECT 1', bindValues: [] }]) expect(tell(other)).toEqual([false, false, false])
})

// Queries.

test('a query is told again when it changes', async () => {
  const store = await open()
  const seen = follow(store, queryDb(todos.orderBy('id', 'asc').select('id')))
  store.commit(created('b'))
  store.commit(created('a'))
  store.commit(noted({ id: 'n' }))
  expect(seen).toEqual([[], ['b'], ['a', 'b']])
})

test('map makes something else of the rows', async () => {
  const store = await open()
  const seen = follow(store, queryDb(todos, { map: (rows: any) => rows.length }))
  store.commit(created('a'))
  expect(seen).toEqual([0, 1])
})

test('what map throws comes to who asks', async () => {
  const store = await open()
  const map = () => {
    throw new Error('map')
  }
  expect(thrown(() => store.query(queryDb(todos, { map })))).toMatch(/map/)
})

test('SQL is a live query, with a schema and values', async () => {
  const store = await open()
  const schema = Schema.Array(Schema.Struct({ id: Schema.String }))
  const byPosition$ = queryDb({ query: 'SELECT id FROM todos WHERE id = ?', bindValues: ['a'], schema })
  const byName$ = queryDb({ query: 'SELECT id FROM todos WHERE id = $id', bindValues: { id: 'a' }, schema })
  const seen = follow(store, byPosition$)
  store.commit(created('a'))
  expect(seen).toEqual([[], [{ id: 'a' }]])
  expect(store.query(byName$)).toEqual([{ id: 'a' }])
  expect(byPosition$.label).toBe('SELECT id FROM todos WHERE id = ?')
})

test('a function chooses a query by what it reads', async () => {
  const store = await filled()
  const chosen$ = signal('a')
  const seen = follow(store, queryDb((get) => todos.where({ id: get(chosen$) }).select('id')))
  store.setSignal(chosen$, 'b')
  expect(seen).toEqual([['a'], ['b']])
})

test('a function may choose SQL', async () => {
  const store = await open()
  const schema = Schema.Array(Schema.Struct({ n: Schema.Number }))
  const seen = follow(store, queryDb(() => ({ query: 'SELECT count(*) AS n FROM todos', schema })))
  store.commit(created('a'))
  expect(seen).toEqual([[{ n: 0 }], [{ n: 1 }]])
})

test('functions that close over other values are told apart by deps', async () => {
  const store = await filled()
  const of = (id: string) => queryDb(() => todos.where({ id }).select('id'), { deps: [id] })
  expect([follow(store, of('a')), follow(store, of('b'))]).toEqual([[['a']], [['b']]])
})

// Computations.

test('a computation follows what it reads, and is computed once for a change', async () => {
  const store = await open()
  let runs = 0
  const one$ = signal(1)
  const [two$, three$] = [computed((get) => get(one$) + 1), computed((get) => get(one$) + 2)]
  const sum$ = computed((get) => {
    runs++
    return get(two$) + get(three$)
  })
  const seen = follow(store, sum$)
  store.setSignal(one$, 10)
  expect([seen, runs]).toEqual([[5, 23], 2])
})

test('a computation reads queries, signals and computations', async () => {
  const store = await filled()
  const [count$, offset$] = [queryDb<number>(todos.count()), signal(10)]
  const sum$ = computed((get) => get(count$) + get(offset$))
  const seen = follow(store, computed((get) => `${get(sum$)}!`))
  store.commit(created('c'))
  store.setSignal(offset$, 0)
  expect(seen).toEqual(['12!', '13!', '3!'])
})

test('a computation depends on what it has read last', async () => {
  const store = await open()
  const [which$, left$, right$] = [signal('left'), signal('l'), signal('r')]
  const seen = follow(store, computed((get) => (get(which$) === 'left' ? get(left$) : get(right$))))
  store.setSignal(which$, 'right')
  store.setSignal(right$, 'r2')
  expect(seen).toEqual(['l', 'r', 'r2'])
})

test('what a computation throws comes to who asks', async () => {
  const store = await open()
  expect(thrown(() => store.query(computed(() => { throw new Error('computed') })))).toMatch(/computed/)
})

// Signals.

test('a signal is set to a value, or to what a function makes of the one before', async () => {
  const store = await open()
  const one$ = signal(1)
  expect(store.query(one$)).toBe(1)
  store.setSignal(one$, 5)
  expect(store.query(one$)).toBe(5)
  store.setSignal(one$, (before: number) => before + 1)
  expect(store.query(one$)).toBe(6)
})

test('a signal keeps any value as it is', async () => {
  const store = await open()
  const value = { run: () => 1, at: new Date(0), all: new Map([[1, 2]]) }
  expect(store.query(signal(value))).toBe(value)
})

test('a signal has a value of its own in each store', async () => {
  const [one, other] = [await open(), await open()]
  const value$ = signal(1)
  one.setSignal(value$, 2)
  expect([one.query(value$), other.query(value$)]).toEqual([2, 1])
})

test('a follower may set a signal', async () => {
  const store = await open()
  const last$ = signal(0)
  store.subscribe(todos.count(), (count: number) => store.setSignal(last$, count))
  const seen = follow(store, last$)
  store.commit(created('a'))
  expect(seen).toEqual([0, 1])
})

// Subscriptions.

test('a follower is called at once, and no more once it has stopped', async () => {
  const store = await open()
  const seen: number[] = []
  const stop = store.subscribe(todos.count(), (count: number) => seen.push(count))
  store.commit(created('a'))
  stop()
  store.commit(created('b'))
  expect(seen).toEqual([0, 1])
})

test('skipInitialRun leaves out the first call', async () => {
  const store = await open()
  const seen = follow(store, todos.count(), { skipInitialRun: true, label: 'count' })
  store.commit(created('a'))
  expect(seen).toEqual([1])
})

test('onSubscribe comes first, with the live query; onUnsubsubscribe comes last', async () => {
  const store = await open()
  const log: unknown[] = []
  const stop = store.subscribe(todos.count(), (count: number) => log.push(count), {
    onSubscribe: (query$: any) => log.push(query$.label),
    onUnsubsubscribe: () => log.push('over'),
  })
  store.commit(created('a'))
  stop()
  expect(log).toEqual([`SELECT COUNT(*) as count FROM 'todos'`, 0, 1, 'over'])
})

test('a follower may stop while it is called', async () => {
  const store = await open()
  const seen: number[] = []
  const stop = store.subscribe(todos.count(), (count: number) => {
    seen.push(count)
    if (count === 1) stop()
  })
  for (const id of ['a', 'b']) store.commit(created(id))
  expect(seen).toEqual([0, 1])
})

test('a live query is alive while it is followed', async () => {
  const store = await open()
  let query$: any
  const stop = store.subscribe(todos.count(), () => {}, { onSubscribe: (live: unknown) => (query$ = live) })
  store.commit(created('a'))
  expect(store.query(query$)).toBe(1)
  expect([query$.isDestroyed, query$.runs, query$._tag]).toEqual([false, 2, 'db'])
  stop()
  await until(() => expect(query$.isDestroyed).toBe(true))
})

test('without a function, subscribe() gives all values to iterate over', async () => {
  const store = await open()
  const values = store.subscribe(todos.count())[Symbol.asyncIterator]()
  expect(await values.next()).toEqual({ done: false, value: 0 })
  store.commit(created('a'))
  store.commit(created('b'))
  expect(await values.next()).toEqual({ done: false, value: 1 })
  expect(await values.next()).toEqual({ done: false, value: 2 })
  expect(await values.return()).toEqual({ done: true, value: undefined })
})

test('an iteration begins with its first step', async () => {
  const store = await open()
  const values = store.subscribe(todos.count())[Symbol.asyncIterator]()
  store.commit(created('a'))
  expect(await values.next()).toEqual({ done: false, value: 1 })
  await values.return()
})

test('values can be iterated over again, and at the same time: each iteration begins anew', async () => {
  const store = await open()
  const values = store.subscribe(todos.count())
  const first = async () => {
    for await (const value of values) return value
    return undefined
  }
  expect(await first()).toBe(0)
  store.commit(created('a'))
  expect(await first()).toBe(1)
  expect(await Promise.all([first(), first()])).toEqual([1, 1])
})

test('for await waits for what comes', async () => {
  const store = await open()
  const seen: number[] = []
  setTimeout(() => store.commit(created('a')), 5)
  for await (const count of store.subscribe(todos.count())) {
    seen.push(count)
    if (count === 1) break
  }
  expect(seen).toEqual([0, 1])
})

// What differs.

const unchanged = async () => {
  const store = await open()
  const [done$, some$] = [queryDb<string[]>(todos.where({ done: true }).select('id')), signal({ some: 1 })]
  const all = {
    query: follow(store, done$),
    computed: follow(store, computed((get) => get(done$).length)),
    mapped: follow(store, queryDb(todos, { map: (rows: any) => ({ has: rows.length >= 0 }) })),
    signal: follow(store, some$),
  }
  store.commit(created('a'))
  store.commit(completed({ id: 'a' }))
  store.setSignal(some$, { some: 1 })
  return all
}
different('equality', {
  livestore: async () => {
    expect(await unchanged()).toEqual({
      query: [[], [], ['a']],
      computed: [0, 0, 1],
      mapped: [{ has: true }, { has: true }, { has: true }],
      signal: [{ some: 1 }, { some: 1 }],
    })
  },
  ours: async () => {
    expect(await unchanged()).toEqual({ query: [[], ['a']], computed: [0, 1], mapped: [{ has: true }], signal: [{ some: 1 }] })
  },
})

const rowsBeforeAndAfter = async () => {
  const store = await filled()
  const seen: any[] = follow(store, todos.orderBy('id', 'asc'))
  store.commit(completed({ id: 'b' }))
  return [seen[0][0] === seen[1][0], seen[0][1] === seen[1][1]]
}
different('rows-keep-their-identity', {
  livestore: async () => {
    expect(await rowsBeforeAndAfter()).toEqual([false, false])
  },
  ours: async () => {
    expect(await rowsBeforeAndAfter()).toEqual([true, false])
  },
})

const closures = async () => {
  const store = await filled()
  const query = (id: string) => queryDb(() => todos.where({ id }).select('id'))
  const value = (id: string) => computed(() => id)
  return [query('a'), query('b'), value('a'), value('b')].map((def) => follow(store, def)[0])
}
different('functions-are-told-apart', {
  livestore: async () => {
    expect(await closures()).toEqual([['a'], ['a'], 'a', 'a'])
  },
  ours: async () => {
    expect(await closures()).toEqual([['a'], ['b'], 'a', 'b'])
  },
})

const sameDeps = async () => {
  const store = await filled()
  const [a, b] = [computed(() => 'a', { deps: 'k' }), computed(() => 'other', { deps: 'k' })]
  const [c, d] = [queryDb(() => todos.where({ id: 'a' }).select('id'), { deps: 'k' }), queryDb(() => todos.where({ id: 'b' }).select('id'), { deps: 'k' })]
  return [a, b, c, d].map((def) => follow(store, def as any)[0])
}
different('deps-name-functions-written-alike', {
  livestore: async () => {
    expect(await sameDeps()).toEqual(['a', 'a', ['a'], ['b']])
  },
  ours: async () => {
    expect(await sameDeps()).toEqual(['a', 'other', ['a'], ['b']])
  },
})

const hashesOfDeps = () => {
  const hash = (...deps: any[]) => queryDb(todos, { deps } as never).hash
  return [hash('a', undefined) === hash(undefined, 'a'), hash('a,b') === hash('a', 'b')]
}
different('deps-are-told-apart', {
  livestore: async () => {
    expect(hashesOfDeps()).toEqual([true, true])
  },
  ours: async () => {
    expect(hashesOfDeps()).toEqual([false, false])
  },
})

const maps = async () => {
  const store = await filled()
  follow(store, queryDb(todos.select('id')))
  return store.query(queryDb(todos.select('id'), { map: (rows: any) => rows.length }))
}
different('maps-are-told-apart', {
  livestore: async () => {
    expect(await maps()).toEqual(['a', 'b'])
  },
  ours: async () => {
    expect(await maps()).toBe(2)
  },
})

const switched = async () => {
  const store = await open()
  const which$ = signal('todos')
  const seen = follow(store, queryDb((get) => (get(which$) === 'todos' ? todos.count() : notes.count())))
  store.setSignal(which$, 'notes')
  store.commit(noted({ id: 'n' }))
  return seen
}
different('contextual-queries-change-tables', {
  livestore: async () => {
    expect(await switched()).toEqual([0, 0])
  },
  ours: async () => {
    expect(await switched()).toEqual([0, 1])
  },
})

const listed = () => (computed as any)([signal(1), queryDb(todos.count())], ([one, count]: any) => [one, count])
different('computed-of-a-list', {
  livestore: async () => {
    const store = await open()
    expect(thrown(() => store.query(listed()))).toMatch(/fn is not a function/)
  },
  ours: async () => {
    const store = await open()
    expect(store.query(listed())).toEqual([1, 0])
  },
})

const built = () => computed((get) => get(todos.count()))
different('builders-in-computations', {
  livestore: async () => {
    const store = await open()
    expect(thrown(() => store.query(built()))).toMatch(/reading 'super'/)
  },
  ours: async () => {
    const store = await open()
    const seen = follow(store, built())
    store.commit(created('a'))
    expect(seen).toEqual([0, 1])
  },
})

const leftAlone = async () => {
  const store = await open()
  const value$ = signal(1)
  const stop = store.subscribe(value$, () => {})
  store.setSignal(value$, 5)
  stop()
  await sleep(10)
  return store.query(value$)
}
different('signals-keep-their-value', {
  livestore: async () => {
    expect(await leftAlone()).toBe(1)
  },
  ours: async () => {
    expect(await leftAlone()).toBe(5)
  },
})

const afterShutdown = async () => {
  const store = await open()
  const values = store.subscribe(todos.count())[Symbol.asyncIterator]()
  await values.next()
  const next = values.next()
  await store.shutdownPromise()
  return Promise.race([next, sleep(300).then(() => 'waits')])
}
different('iterations-end-with-the-store', {
  livestore: async () => {
    expect(await afterShutdown()).toBe('waits')
  },
  ours: async () => {
    expect(await afterShutdown()).toEqual({ done: true, value: undefined })
  },
})

const stoppedTwice = async () => {
  const store = await open()
  const onUnsubsubscribe = vi.fn()
  const stop = store.subscribe(todos.count(), () => {}, { onUnsubsubscribe })
  stop()
  stop()
  return onUnsubsubscribe.mock.calls.length
}
different('unsubscribing-twice', {
  livestore: async () => {
    expect(await stoppedTwice()).toBe(2)
  },
  ours: async () => {
    expect(await stoppedTwice()).toBe(1)
  },
})

const overWithStore = async () => {
  const store = await open()
  const onUnsubsubscribe = vi.fn()
  store.subscribe(todos.count(), () => {}, { onUnsubsubscribe })
  await store.shutdownPromise()
  return onUnsubsubscribe.mock.calls.length
}
different('unsubscribing-with-the-store', {
  livestore: async () => {
    expect(await overWithStore()).toBe(0)
  },
  ours: async () => {
    expect(await overWithStore()).toBe(1)
  },
})
