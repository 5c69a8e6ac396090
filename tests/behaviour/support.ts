import { createStorePromise, Events, makeSchema, nanoid, Schema, SessionIdSymbol, State, type Store } from '@livestore/livestore'
import { afterEach, vi } from 'vitest'

import { makeAdapter } from '#side'

const { SQLite } = State

export const events = {
  created: Events.synced({
    name: 'v1.Created',
    schema: Schema.Struct({
      id: Schema.String,
      text: Schema.optional(Schema.String),
      rank: Schema.optional(Schema.Number),
      tags: Schema.optional(Schema.Array(Schema.String)),
      due: Schema.optional(Schema.Date),
    }),
  }),
  completed: Events.synced({ name: 'v1.Completed', schema: Schema.Struct({ id: Schema.String }) }),
  noted: Events.synced({ name: 'v1.Noted', schema: Schema.Struct({ id: Schema.String }) }),
  failed: Events.synced({ name: 'v1.Failed', schema: Schema.Struct({}) }),
  /** Does what the materializer that is given to `open` says. */
  written: Events.synced({ name: 'v1.Written', schema: Schema.Any }),
}
export const tables = {
  todos: SQLite.table({
    name: 'todos',
    columns: {
      id: SQLite.text({ primaryKey: true }),
      text: SQLite.text({ default: '' }),
      done: SQLite.boolean({ default: false }),
      rank: SQLite.integer({ nullable: true }),
      tags: SQLite.json({ schema: Schema.Array(Schema.String), default: [] }),
      due: SQLite.datetime({ nullable: true }),
    },
  }),
  notes: SQLite.table({ name: 'notes', columns: { id: SQLite.text({ primaryKey: true }) } }),
  ui: SQLite.clientDocument({
    name: 'ui',
    schema: Schema.Struct({ filter: Schema.String, size: Schema.Number }),
    default: { id: SessionIdSymbol, value: { filter: 'all', size: 0 } },
  }),
}
export const created = (id: string, more: { text?: string; rank?: number; tags?: string[]; due?: Date } = {}) =>
  events.created({ id, ...more })
export const { completed, noted, written } = events

interface OpenOptions {
  /** Further tables. */
  readonly tables?: Record<string, any>
  /** Further events. */
  readonly events?: Record<string, any>
  /** What is done about them. */
  readonly materializers?: Record<string, any>
  /** What is done about `written`. */
  readonly write?: (args: any, context: any) => any
  readonly schemaOptions?: object
  /** Further options of the store. */
  readonly options?: object
}

export const schemaOf = ({ write = () => [], ...more }: OpenOptions = {}): any =>
  makeSchema({
    events: { ...events, ...more.events },
    state: SQLite.makeState({
      tables: { ...tables, ...more.tables },
      materializers: {
        'v1.Created': (row: any) => tables.todos.insert(row),
        'v1.Completed': ({ id }: any) => tables.todos.update({ done: true }).where({ id }),
        'v1.Noted': ({ id }: any) => tables.notes.insert({ id }),
        'v1.Failed': () => {
          throw new RangeError('this one always fails')
        },
        'v1.Written': write,
        ...more.materializers,
      },
    }),
    ...more.schemaOptions,
  })

const opened: Array<Store<any, any>> = []

/** Has a store shut down after its test. */
export const shutLater = <T extends Store<any, any>>(store: T): T => {
  opened.push(store)
  return store
}

afterEach(async () => {
  vi.restoreAllMocks()
  // Whoever has shut it down already is right as well.
  for (const store of opened.splice(0)) await store.shutdownPromise().catch(() => {})
})

export const storeOptionsOf = (more: OpenOptions = {}): any => ({
  schema: schemaOf(more),
  adapter: makeAdapter(),
  storeId: `behaviour-${nanoid(6)}`,
  ...more.options,
})

export const open = async (more: OpenOptions = {}): Promise<any> => shutLater(await createStorePromise(storeOptionsOf(more)))

export const sleep = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms))

/** What an error says, with its causes. */
const told = (error: unknown): string => {
  if (!(error instanceof Error)) return String(error)
  const { cause } = error
  return cause === undefined || cause === error ? error.message : `${error.message}\n${told(cause)}`
}

/** What something throws; empty if it throws nothing. */
export const thrown = (run: () => unknown): string => {
  try {
    run()
    return ''
  } catch (error) {
    return told(error) || 'something without a message'
  }
}

/** What a promise is rejected with; empty if it is not. */
export const rejected = async (promise: PromiseLike<unknown>): Promise<string> => {
  try {
    await promise
    return ''
  } catch (error) {
    return told(error) || 'something without a message'
  }
}

/** Waits until something holds. */
export const until = (check: () => void): Promise<void> => vi.waitFor(check, { timeout: 20_000, interval: 10 })

export const isShutDown = (store: any): boolean => thrown(() => store.query(tables.todos.count())).includes('has been shut down')

/** Runs a commit that LiveStore takes without a word, to shut the store down then. */
export const failsSilently = async (store: any, commit: () => unknown): Promise<boolean> => {
  if (thrown(commit) !== '') return false
  await until(() => {
    if (!isShutDown(store)) throw new Error('it is still open')
  })
  return true
}

/** The ids of rows, as one text. */
export const ids = (store: any, query: any): string => store.query(query.orderBy('id', 'asc').select('id')).join('')

/** Follows a query and returns the values that it has had, including those that come. */
export const follow = (store: any, query: any, options?: object): unknown[] => {
  const seen: unknown[] = []
  store.subscribe(query, (value: unknown) => seen.push(value), options)
  return seen
}
