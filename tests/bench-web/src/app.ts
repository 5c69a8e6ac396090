import type { makeInMemoryAdapter } from '@livestore-rs/adapter-web'
import type * as Library from '@livestore-rs/livestore'

type Modules = Pick<typeof Library, 'createStorePromise' | 'Events' | 'makeSchema' | 'queryDb' | 'Schema' | 'State'> & {
  readonly makeInMemoryAdapter: typeof makeInMemoryAdapter
}

/** The same app on either library. */
export const makeApp = (library: Modules) => {
  const { createStorePromise, Events, makeInMemoryAdapter, makeSchema, queryDb, Schema, State } = library
  const { boolean, integer, makeState, materializers, table, text } = State.SQLite
  const todos = table({
    name: 'todos',
    columns: {
      id: text({ primaryKey: true }),
      text: text({ default: '' }),
      completed: boolean({ default: false }),
      position: integer({ default: 0 }),
    },
    indexes: [{ name: 'todos_by_position', columns: ['position'] }],
  })
  const events = {
    created: Events.synced({
      name: 'v1.TodoCreated',
      schema: Schema.Struct({ id: Schema.String, text: Schema.String, position: Schema.Number }),
    }),
    renamed: Events.synced({
      name: 'v1.TodoRenamed',
      schema: Schema.Struct({ id: Schema.String, text: Schema.String }),
    }),
    /** Makes the todos `t0`, `t1` and so on, at the positions 0, 10 and so on. */
    filled: Events.synced({ name: 'v1.TodosFilled', schema: Schema.Struct({ count: Schema.Number }) }),
  }
  const schema = makeSchema({
    events,
    state: makeState({
      tables: { todos },
      materializers: materializers(events, {
        'v1.TodoCreated': ({ id, text, position }) => todos.insert({ id, text, position }),
        'v1.TodoRenamed': ({ id, text }) => todos.update({ text }).where({ id }),
        'v1.TodosFilled': ({ count }) => ({
          sql: `WITH RECURSIVE numbers (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < ?)
            INSERT INTO todos (id, text, position) SELECT 't' || n, 'todo ' || n, 10 * n FROM numbers`,
          bindValues: [count],
          writeTables: new Set(['todos']),
        }),
      }),
    }),
  })
  let stores = 0
  const open = () =>
    createStorePromise({ schema, adapter: makeInMemoryAdapter(), storeId: `bench-${stores++}`, disableDevtools: true })
  return { todos, events, queryDb, open }
}

export type App = ReturnType<typeof makeApp>
export type AppStore = Awaited<ReturnType<App['open']>>
