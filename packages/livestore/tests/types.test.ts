// What the compiler knows: `tsc` reads this as well, and an expectation that does not hold is an error there.

import { type InMemoryAdapterOptions, makeInMemoryAdapter } from '@livestore-rs/adapter-web'
import {
  type Adapter,
  computed,
  type CommitReceipt,
  createStore,
  createStorePromise,
  Events,
  type LiveQueryDef,
  type Queryable,
  makeSchema,
  queryDb,
  Schema,
  signal,
  State,
  type Store,
} from '@livestore-rs/livestore'
import { expectTypeOf, test } from 'vitest'
import * as z from 'zod'

import { created, events, open, schema, tables } from './support.js'

test('rows have the types of their columns', () => {
  type Row = typeof tables.todos.Type
  expectTypeOf<Row['id']>().toEqualTypeOf<string>()
  expectTypeOf<Row['completed']>().toEqualTypeOf<boolean>()
  expectTypeOf<Row['due']>().toEqualTypeOf<Date | null>()
  expectTypeOf<Row['tags']>().toEqualTypeOf<ReadonlyArray<string>>()
  expectTypeOf<(typeof tables.todos.Encoded)['completed']>().toEqualTypeOf<number>()
})

test('queries have the types of what they select', () => {
  const store = open()
  store.commit(created('a'))
  expectTypeOf(store.query(tables.todos.select('id'))).toEqualTypeOf<ReadonlyArray<string>>()
  expectTypeOf(store.query(tables.todos.count())).toEqualTypeOf<number>()
  expectTypeOf(store.query(tables.todos.first())).toEqualTypeOf<typeof tables.todos.Type | undefined>()
  expectTypeOf(store.query(tables.todos.first({ behaviour: 'error' }))).toEqualTypeOf<typeof tables.todos.Type>()
  expectTypeOf(store.query(tables.todos.select('id').first({ behaviour: 'fallback', fallback: () => 5 }))).toEqualTypeOf<
    string | number
  >()
  expectTypeOf(store.query(tables.ui.get())).toEqualTypeOf<{ readonly filter: string; readonly open: boolean }>()
  // @ts-expect-error no such column
  void (() => tables.todos.where({ nothing: 1 }))
  // @ts-expect-error no such value
  void (() => tables.todos.where({ completed: 'yes' }))
  // @ts-expect-error a required column is missing
  void (() => tables.todos.insert({ text: 'x' }))
  // @ts-expect-error an offset comes before a limit
  void (() => tables.todos.limit(5).offset(5))
})

test('live queries have the types of their results', () => {
  const todos$ = queryDb(tables.todos)
  const count$ = queryDb(tables.todos, { map: (todos) => todos.length })
  const selected$ = signal<string | null>(null)
  const both$ = computed([count$, selected$], ([count, selected]) => ({ count, selected }))
  expectTypeOf(todos$).toEqualTypeOf<LiveQueryDef<ReadonlyArray<typeof tables.todos.Type>>>()
  expectTypeOf(count$).toEqualTypeOf<LiveQueryDef<number>>()
  expectTypeOf(both$).toEqualTypeOf<LiveQueryDef<{ count: number; selected: string | null }>>()
  expectTypeOf(computed((get) => get(todos$).length + get(count$))).toEqualTypeOf<LiveQueryDef<number>>()
  const maybe$ = signal<string | undefined>(undefined)
  const store = open()
  expectTypeOf(store.query(maybe$)).toEqualTypeOf<string | undefined>()
  expectTypeOf(store.query(computed((get) => get(maybe$)))).toEqualTypeOf<string | undefined>()
  expectTypeOf<Queryable.Result<typeof maybe$>>().toEqualTypeOf<string | undefined>()
  // @ts-expect-error it may be undefined
  void (() => computed([maybe$], ([maybe]) => maybe.length))
})

test('events have the types of their schemas', () => {
  expectTypeOf(events.todoCreated).parameter(0).toEqualTypeOf<{
    readonly id: string
    readonly text: string
    readonly due?: Date | undefined
  }>()
  const ranked = Events.synced({ name: 'v1.Ranked', schema: z.object({ id: z.string(), rank: z.number().default(1) }) })
  expectTypeOf(ranked).parameter(0).toEqualTypeOf<{ id: string; rank?: number | undefined }>()
  State.SQLite.materializers({ ranked }, {
    'v1.Ranked': (args) => {
      expectTypeOf(args).toEqualTypeOf<{ id: string; rank: number }>()
    },
  })
  // @ts-expect-error a materializer is missing
  void (() => State.SQLite.materializers({ ranked, created: events.todoCreated }, { 'v1.Ranked': () => [] }))
  const store = open()
  expectTypeOf(store.commit(created('a'))).toEqualTypeOf<CommitReceipt>()
  expectTypeOf(store.commit(events.todoCreated.encoded({ id: 'b', text: '', due: '2026-01-02T03:04:05.678Z' }))).toEqualTypeOf<CommitReceipt>()
  // @ts-expect-error no arguments of the event
  void (() => store.commit({ name: 'v1.TodoCompleted', args: { id: 5 } }))
  // @ts-expect-error no event of the schema
  void (() => store.commit({ name: 'v1.Unheard', args: {} }))
})

test('a store is there at once or later, as the adapter says', () => {
  expectTypeOf(makeInMemoryAdapter()).toEqualTypeOf<Adapter<'sync'>>()
  const waiting = makeInMemoryAdapter({ sync: { initialSyncOptions: { _tag: 'Blocking', timeout: 10 } } })
  expectTypeOf(waiting).toEqualTypeOf<Adapter<'async'>>()
  const options = { schema, storeId: 'types' }
  expectTypeOf(createStore({ ...options, adapter: makeInMemoryAdapter() })).toEqualTypeOf<Store<typeof schema>>()
  expectTypeOf(createStore({ ...options, adapter: waiting })).toEqualTypeOf<Promise<Store<typeof schema>>>()
  expectTypeOf(createStore({ ...options, adapter: makeInMemoryAdapter(), boot: async () => {} })).toEqualTypeOf<
    Promise<Store<typeof schema>>
  >()
  type Either = Store<typeof schema> | Promise<Store<typeof schema>>
  const boot = (): Promise<void> | undefined => undefined
  expectTypeOf(createStore({ ...options, adapter: makeInMemoryAdapter(), boot })).toEqualTypeOf<Either>()
  const unknownBoot = (): unknown => undefined
  expectTypeOf(createStore({ ...options, adapter: makeInMemoryAdapter(), boot: unknownBoot })).toEqualTypeOf<Either>()
  expectTypeOf(createStorePromise({ ...options, adapter: makeInMemoryAdapter() })).toEqualTypeOf<
    Promise<Store<typeof schema>>
  >()
})

test('options that an adapter does not know are refused', () => {
  const options: InMemoryAdapterOptions = {}
  expectTypeOf(makeInMemoryAdapter(options)).toEqualTypeOf<Adapter>()
  const initialSyncOptions = { _tag: 'Skip' } as const
  expectTypeOf(makeInMemoryAdapter({ sync: { initialSyncOptions } })).toEqualTypeOf<Adapter<'sync'>>()
  // @ts-expect-error misspelt
  void (() => makeInMemoryAdapter({ clientId: 'ann', sesionId: 'one' }))
  // @ts-expect-error misspelt
  void (() => makeInMemoryAdapter({ sync: { backend: undefined, initialSyncOption: initialSyncOptions } }))
  // @ts-expect-error nothing can be imported
  void (() => makeInMemoryAdapter({ clientId: 'ann', importSnapshot: new Uint8Array() }))
})

test('a table can be made of a schema', () => {
  const users = State.SQLite.table({
    name: 'users',
    schema: Schema.Struct({
      id: Schema.String.pipe(State.SQLite.withPrimaryKey),
      age: Schema.Int,
      nick: Schema.optional(Schema.String),
      born: Schema.Date,
    }),
  })
  expectTypeOf<(typeof users.Type)['age']>().toEqualTypeOf<number>()
  expectTypeOf<(typeof users.Type)['born']>().toEqualTypeOf<Date>()
  const joined = Events.synced({ name: 'v1.Joined', schema: Schema.Struct({ id: Schema.String, born: Schema.Date }) })
  const materializers = State.SQLite.materializers({ joined }, {
    'v1.Joined': ({ id, born }) => users.insert({ id, age: 5, born }),
  })
  const state = State.SQLite.makeState({ tables: { users }, materializers })
  const store = createStore({ schema: makeSchema({ events: { joined }, state }), adapter: makeInMemoryAdapter(), storeId: 'users' })
  store.commit(joined({ id: 'ann', born: new Date(0) }))
  expectTypeOf(store.query(users)).toEqualTypeOf<ReadonlyArray<typeof users.Type>>()
})
