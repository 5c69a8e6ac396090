import { makeInMemoryAdapter } from '@livestore-rs/adapter-web'
import { createStore, Events, makeSchema, queryDb, State } from '@livestore-rs/livestore'
import { useQuery as useQueryOf } from '@livestore-rs/react'
import * as v from 'valibot'

export const events = {
  todoCreated: Events.synced({ name: 'v1.TodoCreated', schema: v.object({ id: v.string(), text: v.string() }) }),
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
