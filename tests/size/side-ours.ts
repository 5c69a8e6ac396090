import { makeInMemoryAdapter } from '@livestore-rs/adapter-web'
import { createStore, Events, makeSchema, queryDb, State } from '@livestore-rs/livestore'
import { useQuery as useQueryOf } from '@livestore-rs/react'

// Chosen when it is built: the same by one library of schemas or another.
import { todo } from './payload.js'

export const events = {
  todoCreated: Events.synced({ name: 'v1.TodoCreated', schema: todo }),
}
export const tables = {
  todos: State.SQLite.table({
    name: 'todos',
    columns: { id: State.SQLite.text({ primaryKey: true }), text: State.SQLite.text() },
  }),
}
const materializers = State.SQLite.materializers(events, { 'v1.TodoCreated': (todo) => tables.todos.insert(todo) })
const schema = makeSchema({ events, state: State.SQLite.makeState({ tables, materializers }) })

export const open = async () => createStore({ schema, adapter: makeInMemoryAdapter(), storeId: 'size' })
export type AppStore = Awaited<ReturnType<typeof open>>
export const useQuery = (store: AppStore, query: ReturnType<typeof tables.todos.orderBy>) =>
  useQueryOf(queryDb(query), { store })
