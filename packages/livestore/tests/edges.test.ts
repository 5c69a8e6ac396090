// What an app does that is not nice.

import { makeInMemoryAdapter } from '@livestore-rs/adapter-web'
import { isStopped } from '@livestore-rs/common/internal'
import {
  computed,
  createStore,
  createStorePromise,
  type DiffStep,
  Events,
  type LiveQueryDef,
  makeSchema,
  nanoid,
  queryDb,
  Schema,
  signal,
  State,
  StoreRegistry,
} from '@livestore-rs/livestore'
import { afterEach, expect, test, vi } from 'vitest'
import * as z from 'zod'

import { created, events, open, schema, tables } from './support.js'

afterEach(() => void vi.restoreAllMocks())

const strict = State.SQLite.table({
  name: 'strict',
  columns: {
    id: State.SQLite.text({ primaryKey: true }),
    value: State.SQLite.json({ schema: Schema.Struct({ size: Schema.Number }) }),
  },
})
const written = Events.synced({ name: 'v1.Written', schema: Schema.Struct({ id: Schema.String, json: Schema.String }) })
const erased = Events.synced({ name: 'v1.Erased', schema: Schema.Struct({ id: Schema.String }) })
const strictSchema = makeSchema({
  events: { written, erased },
  state: State.SQLite.makeState({
    tables: { strict },
    materializers: State.SQLite.materializers({ written, erased }, {
      'v1.Written': ({ id, json }) => ({ sql: 'INSERT INTO strict (id, value) VALUES (?, ?)', bindValues: [id, json] }),
      'v1.Erased': ({ id }) => strict.delete().where({ id }),
    }),
  }),
})
const openStrict = () => createStore({ schema: strictSchema, adapter: makeInMemoryAdapter(), storeId: `strict-${nanoid(6)}` })

test('a row that cannot be decoded fails its query until it is gone, and leaves the others as they are', () => {
  const store = openStrict()
  vi.spyOn(console, 'error').mockImplementation(() => {})
  const query = strict.orderBy('id', 'asc')
  const seen: string[] = []
  store.subscribe(queryDb(query, { map: (rows) => rows.map((row) => row.id).join('') }), (ids) => seen.push(ids))
  store.commit(written({ id: 'b', json: '{"size":"big"}' }), written({ id: 'a', json: '{"size":1}' }))
  expect(() => store.query(query)).toThrow(/a stored value of strict\.value/)
  store.commit(written({ id: 'c', json: '{"size":3}' }))
  store.commit(erased({ id: 'b' }))
  expect(seen).toEqual(['', 'ac'])
  expect(store.query(query)).toEqual([
    { id: 'a', value: { size: 1 } },
    { id: 'c', value: { size: 3 } },
  ])
})

test('a chosen query is another one if its rows mean something else, although they are the same', () => {
  const store = open()
  const id$ = signal('a')
  const todo$ = queryDb((get) => {
    const id = get(id$)
    return tables.todos.select('id').where({ id }).first({ behaviour: 'fallback', fallback: () => `no ${id}` })
  })
  const shout$ = computed((get) => `${get(todo$)}!`)
  const chosen$ = queryDb((get) => tables.todos.where({ id: get(shout$) }).count())
  const seen: unknown[] = []
  for (const query of [todo$, shout$]) store.subscribe<unknown>(query, (value) => seen.push(value))
  store.subscribe(chosen$, () => {})
  store.setSignal(id$, 'b')
  expect(seen).toEqual(['no a', 'no a!', 'no b', 'no b!'])
  expect([store.query(todo$), store.query(shout$)]).toEqual(['no b', 'no b!'])
  store.commit(created('b'), created('c'))
  store.setSignal(id$, 'c')
  store.setSignal(id$, 'd')
  expect(seen.slice(4)).toEqual(['b', 'b!', 'c', 'c!', 'no d', 'no d!'])
  // A list, and one row of it.
  const isList$ = signal(true)
  const some$ = queryDb((get): any => (get(isList$) ? tables.todos.where({ id: 'b' }) : tables.todos.where({ id: 'b' }).first()))
  const kinds: boolean[] = []
  store.subscribe(computed((get) => Array.isArray(get(some$))), (isList) => kinds.push(isList))
  store.setSignal(isList$, false)
  store.setSignal(isList$, true)
  expect(kinds).toEqual([true, false, true])
})

test('rows that another query has as well stay the same objects', () => {
  const store = open()
  store.commit(created('a'), created('b'), created('c'))
  const most$ = signal(10)
  const chosen$ = queryDb((get) => tables.todos.orderBy('id', 'asc').limit(get(most$)))
  const seen: (readonly object[])[] = []
  store.subscribe(chosen$, (rows) => seen.push(rows))
  store.setSignal(most$, 2)
  store.setSignal(most$, 3)
  expect(seen.map((rows) => rows.length)).toEqual([3, 2, 3])
  const [all, two, three] = seen as [object[], object[], object[]]
  expect(two[0]).toBe(all[0])
  expect(two[1]).toBe(all[1])
  expect(three[1]).toBe(all[1])
})

test('what a schema makes of the rows of SQL stays the same object as long as a row does', () => {
  const store = open()
  store.commit(created('b'), created('c'))
  const schema = Schema.Array(Schema.Struct({ id: Schema.String }))
  const rows$ = queryDb({ query: 'SELECT id FROM todos ORDER BY id', schema })
  const seen: (readonly object[])[] = []
  store.subscribe(rows$, (rows) => seen.push(rows))
  store.commit(created('a'))
  const [before, now] = seen as [object[], object[]]
  expect(now).toEqual([{ id: 'a' }, { id: 'b' }, { id: 'c' }])
  expect(now[1]).toBe(before[0])
  expect(now[2]).toBe(before[1])
})

test('where the stack has no room left, that is an error of the app, and the store goes on', () => {
  const store = open()
  let deepest = 0
  const fall = (depth: number): void => {
    deepest = depth
    fall(depth + 1)
  }
  expect(() => fall(0)).toThrow(RangeError)
  const at = (depth: number, run: () => unknown): unknown => (depth === 0 ? run() : at(depth - 1, run))
  const title$ = queryDb((get) => tables.todos.where({ text: get(text$) }))
  const text$ = signal('x')
  store.subscribe(title$, () => {})
  const tries = [
    (id: string) => store.commit(created(id)),
    () => store.query(tables.todos.where({ text: 'x' }).orderBy('id', 'asc')),
    (id: string) => store.setSignal(text$, id),
    () => store.commit(created('the same')),
    () => store.query({ query: 'SELECT count(*) OVER (ORDER BY text) AS n FROM todos GROUP BY text HAVING n > 0 ORDER BY 1' }),
  ]
  let failed = 0
  for (let left = 0; left < 2500; left += 7) {
    for (const run of tries) {
      try {
        at(deepest - left, () => run(`${left}`))
      } catch {
        failed++
      }
    }
  }
  expect(failed).toBeGreaterThan(10)
  expect(isStopped()).toBe(false)
  store.commit(created('last'))
  expect(store.query(tables.todos.where({ id: 'last' })).length).toBe(1)
})

test('steps lead from what was shown to what is shown, whatever the list is made of', () => {
  const store = open()
  const mapped$ = queryDb(tables.todos.orderBy('id', 'asc'), { map: (todos) => todos.map((todo) => todo.id) })
  const computed$ = computed((get) => get(mapped$).map((id) => `${id}!`))
  const applied = (query: LiveQueryDef<ReadonlyArray<string>>) => {
    const list: string[] = []
    store.subscribeDiff(query, (steps: ReadonlyArray<DiffStep<string>>, rows) => {
      for (const step of steps) {
        if (step.op === 'insert') list.splice(step.at, 0, step.row)
        else if (step.op === 'remove') list.splice(step.at, 1)
        else if (step.op === 'update') list[step.at] = step.row
        else list.splice(step.to, 0, ...list.splice(step.from, 1))
      }
      expect(list).toEqual(rows)
    })
    return list
  }
  const lists = [applied(mapped$), applied(computed$)]
  store.commit(created('b'), created('d'))
  store.commit(created('a'), created('c'))
  expect(lists).toEqual([['a', 'b', 'c', 'd'], ['a!', 'b!', 'c!', 'd!']])
})

test('a store can be closed by a follower, and by one that throws when it ends', () => {
  const store = open()
  const told = vi.spyOn(console, 'error').mockImplementation(() => {})
  const one$ = signal(1)
  store.subscribe(tables.todos, () => {}, {
    onUnsubsubscribe: () => {
      throw new Error('ending')
    },
  })
  store.subscribe(one$, (value) => {
    if (value === 2) store.shutdown()
  })
  store.setSignal(one$, 2)
  expect(() => store.commit(created('a'))).toThrow(/shut down/)
  expect(told).toHaveBeenCalledOnce()
})

test('a store can be closed while it reads, and while it is closed', () => {
  const closings: Array<(store: ReturnType<typeof open>) => void> = [
    (store) => void store.query(queryDb(tables.todos, { map: () => store.shutdown() })),
    (store) => void store.query(tables.todos.first({ behaviour: 'fallback', fallback: () => store.shutdown() })),
    (store) => void store.query(queryDb(tables.todos.first({ behaviour: 'fallback', fallback: () => store.shutdown() }))),
    (store) => {
      // Nobody has read what it is mapped to when it ends.
      store.subscribe(queryDb(tables.todos, { map: () => store.shutdown() }), () => {}, { skipInitialRun: true })
      store.shutdown()
    },
    (store) => {
      store.subscribe(tables.todos, () => {}, { onUnsubsubscribe: () => store.shutdown() })
      store.shutdown()
    },
  ]
  const told = vi.spyOn(console, 'error').mockImplementation(() => {})
  for (const close of closings) {
    const store = open()
    close(store)
    expect(() => store.query(tables.todos)).toThrow(/shut down/)
    store.shutdown()
  }
  expect(told).not.toHaveBeenCalled()
})

test('a store that a materializer of another would close stays whole, and can be closed later', () => {
  const other = open()
  const seen: number[] = []
  other.subscribe(tables.todos.count(), (count) => seen.push(count))
  const closing = Events.synced({ name: 'v1.Closing', schema: Schema.Struct({}) })
  const materializers = State.SQLite.materializers({ closing }, { 'v1.Closing': () => other.shutdown() as never })
  const state = State.SQLite.makeState({ tables: {}, materializers })
  const store = createStore({ schema: makeSchema({ events: { closing }, state }), adapter: makeInMemoryAdapter(), storeId: 'closing' })
  expect(() => store.commit(closing({}))).toThrow(/shutdown is not possible in a materializer/)
  other.commit(created('a'))
  expect(seen).toEqual([0, 1])
  other.shutdown()
  expect(() => other.commit(created('b'))).toThrow(/shut down/)
})

test('a computation that changes something, of whatever store, is refused and leaves all as it was', () => {
  const [store, other] = [open(), open()]
  const one$ = signal(1)
  const live = { current: undefined as any }
  other.subscribe(one$, () => {}, { onSubscribe: (query) => (live.current = query) })
  for (const change of [
    () => other.setSignal(one$, 2),
    () => live.current.set(2),
    () => void other.subscribe(tables.todos, () => {}),
    () => void store.subscribeSyncStatus(() => {}),
    () => void store.subscribeDeadLetters(() => {}),
    () => void other.commit(created('a')),
    () => store.shutdown(),
  ]) {
    expect(() => store.query(computed(change))).toThrow(/while a query is computed/)
  }
  store.commit(created('a'))
  expect(store.query(tables.todos.count())).toBe(1)
  expect(other.query(one$)).toBe(1)
})

test('what is missing where a query or an adapter belongs is named', async () => {
  const store = open()
  const nothing = undefined as never
  for (const ask of [() => store.query(nothing), () => void store.subscribe(nothing, () => {}), () => store.query(computed((get) => get(nothing)))]) {
    expect(ask).toThrow(expect.objectContaining({ _tag: 'QueryError', message: expect.stringMatching(/this is no query: undefined/) }))
  }
  await expect(store.subscribe(nothing)[Symbol.asyncIterator]().next()).rejects.toThrow(/this is no query: undefined/)
  for (const compute of [() => computed(nothing), () => computed([nothing], () => 1)]) {
    expect(compute).toThrow(expect.objectContaining({ _tag: 'QueryError', message: expect.stringMatching(/computed takes a function/) }))
  }
  const options = { schema, storeId: 'adapterless' } as never
  const isOpenError = expect.objectContaining({ _tag: 'OpenError', message: expect.stringMatching(/needs an adapter/) })
  expect(() => createStore(options)).toThrow(isOpenError)
  await expect(createStorePromise(options)).rejects.toEqual(isOpenError)
})

test('an error that tells of another one says once where errors are explained', () => {
  const failing = Events.synced({ name: 'v1.Failing', schema: Schema.Struct({}) })
  const materializers = State.SQLite.materializers({ failing }, { 'v1.Failing': () => strict.insert({} as never) })
  const state = State.SQLite.makeState({ tables: { strict }, materializers })
  const store = createStore({ schema: makeSchema({ events: { failing }, state }), adapter: makeInMemoryAdapter(), storeId: 'failing' })
  const chosen = queryDb(() => strict.where({ nothing: 1 } as never))
  for (const fail of [() => void store.commit(failing({})), () => store.query(chosen)]) {
    expect(fail).toThrow(/^(?:(?!#errors)[^])*#errors$/)
    expect(fail).toThrow(/strict/)
  }
})

test('queries that depend on each other say so', () => {
  const store = open()
  const a$: LiveQueryDef<number> = computed((get): number => get(b$), { label: 'a' })
  const b$: LiveQueryDef<number> = computed((get): number => get(a$), { label: 'b' })
  expect(() => store.query(a$)).toThrow(/the live query a depends on itself/)
  let deep$: LiveQueryDef<number> = computed(() => 0)
  for (let depth = 0; depth < 300; depth++) {
    const inner$ = deep$
    deep$ = computed((get) => get(inner$) + 1)
  }
  expect(() => store.query(deep$)).toThrow(/more than 100 live queries depend on each other/)
  store.commit(created('a'))
  expect(store.query(tables.todos.count())).toBe(1)
})

test('a live query of another store is refused', () => {
  const [store, other] = [open(), open()]
  let live: any
  other.subscribe(tables.todos, () => {}, { onSubscribe: (query) => (live = query) })
  expect(() => store.query(live)).toThrow(/of another store/)
})

test('what a computation throws is what whoever reads it catches', () => {
  class AppError extends Error {
    readonly _tag = 'AppError'
  }
  const store = open()
  const thrown = new AppError('mine')
  const fail = (): never => {
    throw thrown
  }
  expect(() => store.query(computed(fail))).toThrow(thrown)
  expect(() => store.query(queryDb(tables.todos, { map: fail }))).toThrow(thrown)
  try {
    store.query(queryDb(fail))
  } catch (error) {
    expect((error as Error).cause).toBe(thrown)
  }
  expect.assertions(3)
})

test('an iteration can be ended while it waits, and is told of errors', async () => {
  const store = openStrict()
  const iterator = store.subscribe(strict)[Symbol.asyncIterator]()
  expect(await iterator.next()).toEqual({ done: false, value: [] })
  const waiting = iterator.next()
  await iterator.return?.()
  expect((await waiting).done).toBe(true)
  const failing = store.subscribe(strict)[Symbol.asyncIterator]()
  await failing.next()
  const next = failing.next()
  store.commit(written({ id: 'a', json: '{}' }))
  await expect(next).rejects.toThrow(/strict\.value/)
})

test('functions with deps are told apart by all of these', () => {
  const store = open()
  const texts = (deps: ReadonlyArray<string | undefined>, id: string) =>
    store.query(queryDb(() => tables.todos.where({ id }).count(), { deps }))
  store.commit(created('a'))
  const results = [texts([undefined, 'a'], 'a'), texts(['a', undefined], 'b'), texts(['a,b'], 'a'), texts(['a', 'b'], 'b')]
  expect(results).toEqual([1, 0, 1, 0])
})

test('an optional field that is undefined is one that is missing', () => {
  const due = Events.synced({ name: 'v1.Due', schema: z.object({ id: z.string(), at: z.string().optional() }) })
  const state = State.SQLite.makeState({
    tables: { strict },
    materializers: State.SQLite.materializers({ due }, { 'v1.Due': () => [] }),
  })
  const store = createStore({ schema: makeSchema({ events: { due }, state }), adapter: makeInMemoryAdapter(), storeId: 'due' })
  store.commit(due({ id: 'a', at: undefined }))
})

test('events that the schema does not have are warned of', async () => {
  const warned = vi.spyOn(console, 'warn').mockImplementation(() => {})
  const old = Events.synced({ name: 'v1.Old', schema: Schema.Struct({ id: Schema.String }), deprecated: 'use v1.New' })
  const state = State.SQLite.makeState({
    tables: { strict },
    materializers: State.SQLite.materializers({ old }, { 'v1.Old': () => [] }),
  })
  const store = createStore({ schema: makeSchema({ events: { old }, state }), adapter: makeInMemoryAdapter(), storeId: 'old' })
  store.commit(old({ id: 'a' }))
  await vi.waitFor(() => expect(warned).toHaveBeenCalledWith(expect.stringMatching(/old.*v1\.Old.*use v1\.New/s)))
})

test('a store that could not be opened is asked for again after a while, and by nobody in a loop', async () => {
  const registry = new StoreRegistry()
  let opened = 0
  const options = {
    schema,
    adapter: makeInMemoryAdapter(),
    storeId: 'failing',
    boot: async () => {
      opened++
      throw new Error('no network')
    },
  }
  const first = registry.getOrLoadPromise(options)
  await expect(first).rejects.toThrow('no network')
  expect(registry.getOrLoadPromise(options)).toBe(first)
  expect(opened).toBe(1)
  await new Promise((resolve) => setTimeout(resolve, 1100))
  await expect(registry.getOrLoadPromise(options)).rejects.toThrow('no network')
  expect(opened).toBe(2)
  await registry.dispose()
})

test('names that objects have by themselves are names like others', () => {
  const store = open()
  expect(() => tables.todos.where({ constructor: 'x' } as never)).toThrow(/has no column constructor/)
  expect(() => store.query({ query: 'SELECT $toString AS x', bindValues: {} })).not.toThrow()
  expect(store.query({ query: 'SELECT $toString AS x', bindValues: {} })).toEqual([{ x: null }])
  expect(events.todoCreated({ id: '__proto__', text: '' }).args.id).toBe('__proto__')
})

test('a value that contains itself is told of like others', () => {
  const store = open()
  interface Node {
    readonly count: number
    self?: Node
  }
  const tree$ = queryDb(tables.todos, {
    map: (rows) => {
      const node: Node = { count: rows.length }
      node.self = node
      return node
    },
  })
  const counts: number[] = []
  const stop = store.subscribe(tree$, ({ count }) => counts.push(count))
  store.commit(created('a'))
  store.commit(created('b'))
  expect(counts).toEqual([0, 1, 2])
  expect(store.query(tree$).count).toBe(2)
  stop()
  store.shutdown()
})

test('steps have no row that could not be decoded', () => {
  vi.spyOn(console, 'error').mockImplementation(() => {})
  const store = openStrict()
  store.commit(written({ id: 'a', json: '{"size":1}' }))
  const steps: DiffStep<typeof strict.Type>[][] = []
  store.subscribeDiff(strict.orderBy('id', 'asc'), (told) => steps.push([...told]))
  store.commit(written({ id: 'b', json: '{"size":"big"}' }))
  store.commit(erased({ id: 'b' }), written({ id: 'c', json: '{"size":3}' }))
  const row = (id: string, size: number) => ({ id, value: { size } })
  expect(steps).toEqual([
    [{ op: 'insert', at: 0, row: row('a', 1) }],
    [{ op: 'insert', at: 1, row: row('c', 3) }],
  ])
})

test('a computed value that reads itself by the store says so, however it comes to that', () => {
  const store = open()
  const self$: LiveQueryDef<number> = computed(() => store.query(self$), { label: 'self' })
  const there$: LiveQueryDef<number> = computed(() => store.query(back$), { label: 'there' })
  const back$: LiveQueryDef<number> = computed((get) => get(there$), { label: 'back' })
  expect(() => store.query(self$)).toThrow('the live query self depends on itself')
  expect(() => store.query(there$)).toThrow('the live query there depends on itself')
  store.commit(created('a'))
  expect(store.query(tables.todos.count())).toBe(1)
})

test('too long a chain of queries is refused, and the engine goes on', () => {
  const store = open()
  const chain = (length: number) => {
    let last$ = queryDb(tables.todos.count()) as LiveQueryDef<any>
    for (let at = 0; at < length; at++) {
      const before$ = last$
      last$ = queryDb((get) => tables.todos.where('text', '!=', String(get(before$))).count(), { deps: [length, at] })
    }
    return last$
  }
  expect(store.query(chain(90))).toBe(0)
  for (const length of [101, 130, 300]) {
    expect(() => store.query(chain(length))).toThrow('more than 100 live queries depend on each other')
  }
  store.commit(created('a'))
  expect(store.query(chain(5))).toBe(1)
})

test('opening is given up when that is asked for, also while boot runs', async () => {
  const controller = new AbortController()
  let committed: unknown
  const opening = createStorePromise({
    schema,
    storeId: 'given-up',
    adapter: makeInMemoryAdapter(),
    signal: controller.signal,
    boot: async (store) => {
      controller.abort(new Error('the user has left'))
      try {
        store.commit(created('a'))
      } catch (error) {
        committed = error
      }
    },
  })
  await expect(opening).rejects.toThrow('the user has left')
  expect(committed).toMatchObject({ _tag: 'StoreClosed' })
  const registry = new StoreRegistry()
  let opened: ReturnType<typeof open> | undefined
  const loading = registry.getOrLoadPromise({
    schema,
    storeId: 'given-up',
    adapter: makeInMemoryAdapter(),
    boot: async (store) => {
      opened = store
      await new Promise(() => {})
    },
  })
  await registry.dispose()
  await expect(loading).rejects.toMatchObject({ _tag: 'StoreClosed' })
  expect(() => opened?.query(tables.todos.count())).toThrow('shut down')
})

test('an adapter that makes promises makes no exceptions', async () => {
  const adapter = makeInMemoryAdapter({ sync: { initialSyncOptions: { _tag: 'Blocking', timeout: 10 } } })
  await expect(createStore({ schema, adapter, storeId: 'no store id' })).rejects.toMatchObject({ _tag: 'InvalidStoreId' })
})

test('who changes a list that a query gave has it as it should be after the next change', () => {
  const store = open()
  store.commit(created('a'), created('b'), created('c'))
  let seen: string[] = []
  store.subscribe(tables.todos.select('id'), (ids) => {
    seen = [...ids]
    ;(ids as string[]).sort().reverse()
  })
  store.commit(created('aa'))
  expect(seen).toEqual(['a', 'aa', 'b', 'c'])
})

test('a live query that is over says so', async () => {
  const store = open()
  let live: any
  store.subscribe(tables.todos.count(), () => {}, { onSubscribe: (query) => (live = query) })()
  await new Promise((resolve) => setTimeout(resolve))
  for (const use of [() => live.explain(), () => live.set(1)]) {
    expect(use).toThrow(expect.objectContaining({ _tag: 'QueryError', message: expect.stringMatching(/is over/) }))
  }
})

test('what is wrong with a default, a schema or a value in a column is said with where it is', () => {
  const document = State.SQLite.clientDocument({
    name: 'settings',
    schema: z.object({ size: z.number() }),
    default: { id: 'own', value: { size: 'big' } as any },
  })
  const wrong = makeSchema({ events: {}, state: State.SQLite.makeState({ tables: { document }, materializers: {} }) })
  const openWith = (schema: any) => () => createStore({ schema, adapter: makeInMemoryAdapter(), storeId: 'wrong' })
  expect(openWith(wrong)).toThrow(
    expect.objectContaining({ _tag: 'SchemaError', message: expect.stringMatching(/^the default of the client document settings: .*size/) }),
  )
  expect(openWith(undefined)).toThrow(expect.objectContaining({ _tag: 'OpenError', message: expect.stringMatching(/makeSchema/) }))
  const letters = State.SQLite.table({
    name: 'letters',
    columns: { id: State.SQLite.text({ primaryKey: true, schema: z.enum(['a', 'b']) }), at: State.SQLite.json({ schema: z.date(), nullable: true }) },
  })
  const message = (run: () => unknown) => {
    try {
      run()
    } catch (error) {
      return (error as Error).message
    }
    return ''
  }
  const letter = message(() => letters.insert({ id: 'c' as any }).asSql())
  expect(letter).toMatch(/letters\.id.*"a"\|"b"/)
  expect(letter).not.toMatch(/date/)
  expect(message(() => letters.insert({ id: 'a', at: new Date() } as any).asSql())).toMatch(/a date, say/)
})

test('options of which none is said may come before events', () => {
  const store = open()
  store.commit({}, created('a'))
  expect(store.query(tables.todos.count())).toBe(1)
  expect(() => store.commit({} as any)).toThrow(expect.objectContaining({ _tag: 'PayloadError' }))
})
