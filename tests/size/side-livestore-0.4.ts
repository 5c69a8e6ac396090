import { makeInMemoryAdapter } from '@livestore/adapter-web'
import { createStorePromise, Events, makeSchema, queryDb, Schema, State } from '@livestore/livestore'
import { useQuery as useQueryOf } from '@livestore/react'

export const events = {
  todoCreated: Events.synced({
    name: 'v1.TodoCreated',
    schema: Schema.Struct({ id: Schema.String, text: Schema.String }),
  }),
}
export const tables = {
  todos: State.SQLite.table({
    name: 'todos',
    columns: { id: State.SQLite.text({ primaryKey: true }), text: State.SQLite.text() },
  }),
}
const materializers = State.SQLite.materializers(events, { 'v1.TodoCreated': (todo) => tables.todos.insert(todo) })
const schema = makeSchema({ events, state: State.SQLite.makeState({ tables, materializers }) })

export const open = () => createStorePromise({ schema, adapter: makeInMemoryAdapter(), storeId: 'size' })
export type AppStore = Awaited<ReturnType<typeof open>>
export const useQuery = (store: AppStore, query: ReturnType<typeof tables.todos.orderBy>) =>
  useQueryOf(queryDb(query), { store })
