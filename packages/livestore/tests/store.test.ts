import { makeInMemoryAdapter } from '@livestore-rs/adapter-web'
import {
  computed,
  createStore,
  createStorePromise,
  type DiffStep,
  Events,
  makeSchema,
  queryDb,
  Schema,
  SessionIdSymbol,
  signal,
  sql,
  State,
  Store,
} from '@livestore-rs/livestore'
import { afterEach, expect, test, vi } from 'vitest'

import { created, events, materializers, open, schema, tables } from './support.js'

const flush = () => new Promise((resolve) => setTimeout(resolve, 0))

afterEach(() => void vi.restoreAllMocks())

test('what is committed can be queried at once, decoded', () => {
  const store = open()
  const due = new Date('2026-01-02T03:04:05.678Z')
  store.commit(events.todoCreated({ id: 'a', text: 'milk', due }), events.todoCompleted({ id: 'a' }))
  expect(store.query(tables.todos)).toEqual([{ id: 'a', text: 'milk', completed: true, due, tags: [] }])
  expect(store.query(tables.todos.select('id'))).toEqual(['a'])
  expect(store.query(tables.todos.select('id', 'completed'))).toEqual([{ id: 'a', completed: true }])
  expect(store.query(tables.todos.count().where({ completed: true }))).toBe(1)
  expect(store.query(tables.todos.where({ id: 'b' }).first())).toBeUndefined()
  expect(store.query(tables.todos.where({ id: 'b' }).first({ behaviour: 'fallback', fallback: () => 'none' }))).toBe('none')
  expect(() => store.query(tables.todos.where({ id: 'b' }).first({ behaviour: 'error' }))).toThrow(/no row of todos/)
})

test('SQL is a query too, with named parameters, a schema, and no writes', () => {
  const store = open()
  store.commit(created('a'), created('b'), events.todoCompleted({ id: 'b' }))
  expect(store.query({ query: sql`SELECT id, completed FROM todos WHERE id = $id`, bindValues: { id: 'b', unused: 1 } })).toEqual([
    { id: 'b', completed: 1 },
  ])
  expect(store.query({ query: sql`SELECT id FROM todos WHERE id = ?`, bindValues: ['a'] })).toEqual([{ id: 'a' }])
  expect(store.query({ query: sql`SELECT * FROM todos ORDER BY id`, schema: Schema.Array(tables.todos.rowSchema) })).toEqual(
    store.query(tables.todos),
  )
  const misread = { query: sql`SELECT id FROM todos`, schema: Schema.Array(Schema.Struct({ id: Schema.Number })) }
  const isDecodeError = expect.objectContaining({ _tag: 'DecodeError', message: expect.stringContaining('SELECT id FROM todos') })
  expect(() => store.query(misread)).toThrow(isDecodeError)
  expect(() => store.query(queryDb(misread))).toThrow(isDecodeError)
  expect(() => store.query({ query: sql`DELETE FROM todos` })).toThrow(/deleting from table todos is not allowed in a query/)
  expect(() => store.query(tables.todos.insert({ id: 'c' }) as never)).toThrow(/a query cannot write/)
  expect(store.query(tables.todos.count())).toBe(2)
})

test('all operators of where agree with SQL', () => {
  const store = open()
  for (const [id, text] of [['a', 'Milk'], ['b', 'bread'], ['c', 'butter']] as const) store.commit(created(id, text))
  store.commit(events.todoCreated({ id: 'd', text: '', due: new Date(5) }))
  const ids = (query: { where(...args: any[]): any }, ...where: unknown[]) =>
    store.query<ReadonlyArray<{ id: string }>>(query.where(...where)).map((row) => row.id).join('')
  const { todos } = tables
  expect(ids(todos, 'id', '>', 'b')).toBe('cd')
  expect(ids(todos, 'id', '<=', 'b')).toBe('ab')
  expect(ids(todos, 'id', '!=', 'b')).toBe('acd')
  expect(ids(todos, 'text', 'LIKE', 'b%')).toBe('bc')
  expect(ids(todos, 'text', 'ILIKE', 'm%')).toBe('a')
  expect(ids(todos, 'text', 'NOT LIKE', 'b%')).toBe('ad')
  expect(ids(todos, 'id', 'IN', ['a', 'c', 'x'])).toBe('ac')
  expect(ids(todos, 'id', 'IN', [])).toBe('')
  expect(ids(todos, 'id', 'NOT IN', [])).toBe('abcd')
  expect(ids(todos, 'due', null)).toBe('abc')
  expect(ids(todos, 'due', '!=', null)).toBe('d')
  expect(ids(todos, 'due', '!=', new Date(6))).toBe('d')
  expect(ids(todos, { id: { op: 'IN', value: ['a', 'b'] }, text: 'bread' })).toBe('b')
  expect(ids(todos, { tags: { op: 'JSON_NOT_CONTAINS', value: 'x' } })).toBe('abcd')
})

test('followers are told at once, and only of what is another value', () => {
  const store = open()
  const open$ = queryDb(tables.todos.select('id').where({ completed: false }), { label: 'open' })
  const seen: unknown[] = []
  const stop = store.subscribe(open$, (ids) => seen.push(ids))
  store.commit(created('a'))
  store.commit(created('b'), events.todoCompleted({ id: 'b' }))
  stop()
  store.commit(created('c'))
  expect(seen).toEqual([[], ['a']])
})

test('rows that have not changed stay the same objects', () => {
  const store = open()
  store.commit(created('a'), created('b'))
  const values: Array<ReadonlyArray<unknown>> = []
  store.subscribe(tables.todos.orderBy('id', 'asc'), (rows) => values.push(rows))
  store.commit(events.todoCompleted({ id: 'a' }))
  const [before, after] = values as [unknown[], unknown[]]
  expect(after[1]).toBe(before[1])
  expect(after[0]).not.toBe(before[0])
  expect(before[0]).toMatchObject({ completed: false })
})

test('changes are told as steps', () => {
  const store = open()
  store.commit(created('b'))
  const all: DiffStep<unknown>[][] = []
  store.subscribeDiff(tables.todos.orderBy('id', 'asc').select('id'), (steps) => all.push([...steps]))
  store.commit(created('a'))
  store.commit(events.todosCleared(undefined))
  expect(all).toEqual([
    [{ op: 'insert', at: 0, row: 'b' }],
    [{ op: 'insert', at: 0, row: 'a' }],
    [{ op: 'remove', at: expect.any(Number) }, { op: 'remove', at: 0 }],
  ])
})

test('what a follower commits is told to those behind it together with what it was told of', () => {
  const store = open()
  store.subscribe(tables.todos.select('id'), (ids) => {
    if (ids.length === 1) store.commit(created('b'))
  })
  const rows: unknown[] = []
  let calls = 0
  store.subscribeDiff(tables.todos.select('id'), (steps, now) => {
    calls++
    for (const step of steps) if (step.op === 'insert') rows.splice(step.at, 0, step.row)
    expect(rows).toEqual(now)
  })
  store.commit(created('a'))
  expect([calls, rows]).toEqual([2, ['a', 'b']])
})

test('numbers are bound as what they are, however great', () => {
  const store = open()
  const bind = (value: number) => store.query({ query: sql`SELECT ? AS it, typeof(?) AS type`, bindValues: [value, value] })
  expect(bind(2 ** 55 + 8)).toEqual([{ it: 2 ** 55 + 8, type: 'real' }])
  expect(bind(1e19)).toEqual([{ it: 1e19, type: 'real' }])
  expect(bind(2 ** 53 - 1)).toEqual([{ it: 2 ** 53 - 1, type: 'integer' }])
  expect(bind(Number.NaN)).toEqual([{ it: null, type: 'null' }])
})

test('a query read by a follower is told to its own followers nevertheless', () => {
  const store = open()
  const count$ = queryDb(tables.todos.count())
  const ids$ = queryDb(tables.todos.select('id'))
  const counts: number[] = []
  store.subscribe(ids$, () => void store.query(count$))
  store.subscribe(count$, (count) => counts.push(count))
  store.subscribe(ids$, () => void store.query(count$))
  store.commit(created('a'))
  expect(counts).toEqual([0, 1])
})

test('a computed value depends on what it reads, and a signal keeps its value', () => {
  const store = open()
  const selected$ = signal<string | null>(null)
  const chosen$ = queryDb((get) => tables.todos.where({ id: get(selected$) ?? '' }).first(), { label: 'chosen' })
  const text$ = computed((get) => get(chosen$)?.text ?? 'none', { label: 'text' })
  const seen: string[] = []
  store.subscribe(text$, (text) => seen.push(text))
  store.commit(created('a'), created('b'))
  store.setSignal(selected$, 'a')
  store.setSignal(selected$, (before) => (before === 'a' ? 'b' : 'c'))
  store.commit(events.todoCompleted({ id: 'b' }))
  expect(seen).toEqual(['none', 'todo a', 'todo b'])
  expect(store.query(selected$)).toBe('b')
})

test('a query that becomes one of another table is decoded as that', () => {
  const store = open()
  store.commit(created('a'))
  const what$ = signal<'count' | 'ids' | 'texts'>('ids')
  const rows$ = queryDb((get) => {
    const what = get(what$)
    if (what === 'count') return tables.todos.count() as never
    return tables.todos.select(what === 'ids' ? 'id' : 'text')
  })
  const seen: unknown[] = []
  store.subscribe(rows$, (rows) => seen.push(rows))
  store.setSignal(what$, 'texts')
  store.setSignal(what$, 'count')
  store.setSignal(what$, 'ids')
  expect(seen).toEqual([['a'], ['todo a'], 1, ['a']])
})

test('nothing is changed while something is computed', () => {
  const store = open()
  const bad$ = computed(() => store.commit(created('a')))
  expect(() => store.query(bad$)).toThrow(/commit is not possible while a query is computed/)
  expect(store.query(tables.todos.count())).toBe(0)
  store.commit(created('b'))
})

test('a mapped query is told if what it is mapped to is another value', () => {
  const store = open()
  const has$ = queryDb(tables.todos, { map: (todos) => ({ some: todos.length > 0 }) })
  const values: Array<{ some: boolean }> = []
  store.subscribe(has$, (value) => values.push(value))
  store.commit(created('a'))
  store.commit(created('b'))
  expect(values).toEqual([{ some: false }, { some: true }])
})

test('a commit that fails throws, says why, and leaves the store as it was', () => {
  const store = open()
  let error: any
  try {
    store.commit(created('a'), events.failed({}))
  } catch (thrown) {
    error = thrown
  }
  expect(error).toMatchObject({ _tag: 'MaterializeError', event: 'v1.Failed' })
  expect(error.message).toMatch(/v1\.Failed.*this one always fails[\s\S]*typescript\.md#errors/)
  expect(error.cause).toBeInstanceOf(RangeError)
  expect(store.query(tables.todos.count())).toBe(0)
  store.commit(created('a'))
  expect(() => store.commit(created('a'))).toThrow(/UNIQUE constraint failed: todos\.id/)
  expect(store.query(tables.todos.count())).toBe(1)
})

test('wrong arguments and unknown events are refused by name', () => {
  const store = open()
  expect(() => events.todoCreated({ id: 1 } as never)).toThrow(/Invalid event args for event 'v1\.TodoCreated'/)
  expect(() => store.commit({ name: 'v1.Unheard', args: {} } as never)).toThrow(/the schema has no event v1\.Unheard/)
  expect(() => store.commit(42 as never)).toThrow(/this is no event/)
})

test('commit takes a function that collects, options, and nothing', () => {
  const store = open()
  let calls = 0
  store.subscribe(tables.todos.count(), () => calls++)
  store.commit((commit) => {
    commit(created('a'))
    commit(created('b'), created('c'))
  })
  store.commit({ label: 'more' }, created('d'))
  store.commit()
  expect(calls).toBe(3)
  expect(store.query(tables.todos.count())).toBe(4)
  expect(() =>
    store.commit((commit) => {
      commit(created('e'))
      throw new Error('no')
    }),
  ).toThrow('no')
  expect(store.query(tables.todos.count())).toBe(4)
})

test('events that are collected after a pause are refused, and none is committed', async () => {
  const store = open()
  const late: unknown[] = []
  const collect = async (commit: (event: ReturnType<typeof created>) => void) => {
    commit(created('a'))
    await null
    try {
      commit(created('b'))
    } catch (error) {
      late.push(error)
      throw error
    }
  }
  expect(() => store.commit(collect)).toThrow(expect.objectContaining({ _tag: 'PayloadError', message: expect.stringMatching(/must not be asynchronous/) }))
  await flush()
  expect(late).toEqual([expect.objectContaining({ _tag: 'PayloadError', message: expect.stringMatching(/come too late/) })])
  expect(store.query(tables.todos.count())).toBe(0)
})

test('arguments that JSON does not have are refused by the name of their event', () => {
  const anything = Events.synced({ name: 'v1.Anything', schema: Schema.Any })
  const materializers = State.SQLite.materializers({ anything }, { 'v1.Anything': () => [] })
  const schema = makeSchema({ events: { anything }, state: State.SQLite.makeState({ tables, materializers }) })
  const store = createStore({ schema, adapter: makeInMemoryAdapter(), storeId: 'anything' })
  const nothing = [() => 1, Symbol('x'), { toJSON: () => undefined }]
  const events = [...nothing.map((args) => anything(args)), anything.encoded(() => 1), anything.encoded(1n)]
  for (const event of events) {
    expect(() => store.commit(event)).toThrow(expect.objectContaining({ _tag: 'PayloadError', event: 'v1.Anything' }))
  }
  store.commit(anything(1))
})

test('skipRefresh keeps followers waiting until manualRefresh', () => {
  const store = open()
  const seen: number[] = []
  store.subscribe(tables.todos.count(), (count) => seen.push(count))
  store.commit({ skipRefresh: true }, created('a'))
  expect(seen).toEqual([0])
  expect(store.query(tables.todos.count())).toBe(1)
  store.manualRefresh()
  store.manualRefresh()
  expect(seen).toEqual([0, 1])
})

test('what a follower throws hurts nobody else', () => {
  const store = open()
  const told = vi.spyOn(console, 'error').mockImplementation(() => {})
  store.subscribe(tables.todos.count(), (count) => {
    if (count > 0) throw new Error('follower')
  })
  const seen: number[] = []
  store.subscribe(tables.todos.count(), (count) => seen.push(count))
  store.commit(created('a'))
  expect(seen).toEqual([0, 1])
  expect(told).toHaveBeenCalledOnce()
})

test('a receipt can be waited for or ignored', async () => {
  const store = open()
  const unhandled: unknown[] = []
  process.on('unhandledRejection', (error) => unhandled.push(error))
  const receipt = store.commit(created('a'))
  expect(await receipt.persisted).toBe('memory')
  await expect(receipt.confirmed).rejects.toMatchObject({ _tag: 'NoBackend' })
  void store.commit(created('b')).confirmed
  await flush()
  expect(unhandled).toEqual([])
})

test('values can be iterated over', async () => {
  const store = open()
  const seen: number[] = []
  setTimeout(() => void store.commit(created('a')), 0)
  for await (const count of store.subscribe(tables.todos.count())) {
    seen.push(count)
    if (count === 1) break
  }
  expect(seen).toEqual([0, 1])
})

test('a client document is its default until it is set, some fields at a time', () => {
  const store = open()
  const seen: unknown[] = []
  store.subscribe(tables.ui.get(), (ui) => seen.push(ui))
  store.commit(tables.ui.set({ open: true }))
  store.commit(tables.ui.set({ filter: 'done' }, SessionIdSymbol))
  store.commit(tables.ui.set({ filter: 'other' }, 'somebody else'))
  expect(seen).toEqual([
    { filter: 'all', open: false },
    { filter: 'all', open: true },
    { filter: 'done', open: true },
  ])
  expect(store.query(tables.ui.get('nobody', { default: { filter: 'x' } }))).toEqual({ filter: 'x', open: false })
  expect(store.query(tables.ui.select('id'))).toEqual(expect.arrayContaining([store.sessionId, 'somebody else']))
})

test('defaults of readers are told apart by what they hold', () => {
  const { ReadonlySet, String, Struct } = Schema
  const picked = State.SQLite.clientDocument({
    name: 'picked',
    schema: Struct({ ids: ReadonlySet(String) }),
    default: { id: 'mine', value: { ids: new Set<string>() } },
  })
  const words = State.SQLite.clientDocument({
    name: 'words',
    schema: ReadonlySet(String),
    partialSet: false,
    default: { id: 'mine', value: new Set<string>() },
  })
  const state = State.SQLite.makeState({ tables: { picked, words }, materializers: {} })
  const store = createStore({ schema: makeSchema({ events: {}, state }), adapter: makeInMemoryAdapter(), storeId: 'readers' })
  for (const id of ['a', 'b']) {
    const ids = new Set([id])
    expect(store.query(queryDb(picked.get('mine', { default: { ids } })))).toEqual({ ids })
    expect(store.query(queryDb(words.get('mine', { default: ids })))).toEqual(ids)
    store.subscribe(queryDb(picked.get('mine', { default: { ids } })), () => {})
  }
  expect(() => queryDb(picked.get('mine', { default: { ids: ['a'] as never } }))).toThrow(
    expect.objectContaining({ _tag: 'QueryError', table: 'picked' }),
  )
})

test('a client-only event that writes what all share is refused, and the option is named', () => {
  const wrong = Events.clientOnly({ name: 'Wrong', schema: Schema.Struct({ id: Schema.String }) })
  const own = State.SQLite.table({ name: 'own', columns: { id: State.SQLite.text({ primaryKey: true }) }, scope: 'client' })
  const right = Events.clientOnly({ name: 'Right', schema: Schema.Struct({ id: Schema.String }), persist: true })
  const state = State.SQLite.makeState({
    tables: { ...tables, own },
    materializers: {
      ...materializers,
      ...State.SQLite.materializers(
        { wrong, right },
        { Wrong: ({ id }) => tables.todos.insert({ id }), Right: ({ id }) => own.insert({ id }) },
      ),
    },
  })
  const store = createStore({
    schema: makeSchema({ events: { ...events, wrong, right }, state }),
    adapter: makeInMemoryAdapter(),
    storeId: 'scopes',
  })
  store.commit(right({ id: 'a' }), created('b'))
  expect(store.query(own)).toEqual([{ id: 'a' }])
  expect(() => store.commit(wrong({ id: 'a' }))).toThrow(/Wrong.*todos.*scope/s)
})

test('a store that is closed says so, and whoever shows it still can', async () => {
  const store = open()
  store.commit(created('a'))
  let last: unknown
  const stop = store.subscribe(tables.todos.count(), (count) => (last = count))
  await store.shutdownPromise()
  await store.shutdownPromise()
  expect(() => store.commit(created('b'))).toThrow(/Store has been shut down \(while performing "commit"\)/)
  expect(() => store.query(tables.todos)).toThrow(/shut down/)
  stop()
  expect(last).toBe(1)
})

test('opening is at once or later, as the adapter and boot say', async () => {
  const stages: string[] = []
  const store = createStore({
    schema,
    adapter: makeInMemoryAdapter(),
    storeId: 'at-once',
    context: { user: 'ann' },
    boot: (store) => void store.commit(created('booted')),
    onBootStatus: ({ stage }) => stages.push(stage),
  })
  expect(store).toBeInstanceOf(Store)
  expect(store.query(tables.todos.count())).toBe(1)
  expect(stages).toEqual(['loading', 'done'])
  expect(store.context.user).toBe('ann')
  const abort = new AbortController()
  const later = await createStorePromise({ schema, adapter: makeInMemoryAdapter(), storeId: 'later', signal: abort.signal })
  abort.abort()
  expect(() => later.query(tables.todos)).toThrow(/shut down/)
  expect(() => createStore({ schema, adapter: makeInMemoryAdapter(), storeId: 'not an id' })).toThrow(/not an id/)
  await expect(
    createStorePromise({
      schema,
      adapter: makeInMemoryAdapter(),
      storeId: 'failing',
      boot: async () => {
        throw new Error('boot failed')
      },
    }),
  ).rejects.toThrow('boot failed')
})

test('the sync status of a store that is alone', () => {
  const store = open()
  store.commit(created('a'))
  expect(store.syncStatus()).toMatchObject({ isSynced: false, pendingCount: 1, upstreamHead: 'e0' })
  expect(store.networkStatus.get().isConnected).toBe(false)
  const seen: unknown[] = []
  const stop = store.subscribeSyncStatus((status) => seen.push(status.pendingCount))
  store.commit(created('b'))
  stop()
  expect(seen[0]).toBe(1)
})

test('what a computation has read before and reads no more is given back', async () => {
  const store = open()
  const which$ = signal('a')
  const computed$ = computed((get) => get(queryDb(tables.todos.where({ id: get(which$) }).first()))?.text)
  const stop = store.subscribe(computed$, () => {})
  for (const id of ['b', 'c', 'd']) store.setSignal(which$, id)
  await flush()
  const live = (id: string) => {
    let runs = -1
    const stop = store.subscribe(tables.todos.where({ id }).first(), () => {}, { onSubscribe: (live) => (runs = live.runs) })
    stop()
    return runs
  }
  store.commit(created('a'), created('d'))
  expect(live('d')).toBe(2)
  expect(live('a')).toBeLessThanOrEqual(1)
  stop()
})

test('a signal keeps its value while nobody reads it', async () => {
  const store = open()
  const signal$ = signal(1)
  const stop = store.subscribe(signal$, () => {})
  store.setSignal(signal$, 2)
  stop()
  await flush()
  expect(store.query(signal$)).toBe(2)
})
