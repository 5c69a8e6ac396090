// A whole app, under the names that LiveStore's users import.

import { computed, createStore, Events, makeSchema, queryDb, Schema, signal, State } from '@livestore/livestore'
import { makeInMemoryAdapter } from '@livestore/adapter-web'
import { expect, test } from 'vitest'

const events = {
  todoCreated: Events.synced({ name: 'v1.TodoCreated', schema: Schema.Struct({ id: Schema.String, text: Schema.String }) }),
}
const uiFilterChanged = Events.clientOnly({ name: 'UiFilterChanged', schema: Schema.Struct({ filter: Schema.String }) })
const tables = {
  todos: State.SQLite.table({ name: 'todos', columns: {
    id: State.SQLite.text({ primaryKey: true }),
    text: State.SQLite.text({ default: '' }),
    completed: State.SQLite.boolean({ default: false }) } }),
}
const materializers = State.SQLite.materializers(events, {
  'v1.TodoCreated': ({ id, text }) => tables.todos.insert({ id, text }),
})
const state = State.SQLite.makeState({ tables, materializers })
export const schema = makeSchema({ events, state })

const store = createStore({ schema, adapter: makeInMemoryAdapter(), storeId: 'my-app' })
const todos$ = queryDb(() => tables.todos, { label: 'todos' })
const selectedId$ = signal<string | null>(null, { label: 'selectedId' })
const selectedTodo$ = computed([todos$, selectedId$], ([todos, id]) => todos.find((t) => t.id === id) ?? null, { label: 'selectedTodo' })

test('the listing runs', () => {
  expect(uiFilterChanged({ filter: 'all' })).toEqual({ name: 'UiFilterChanged', args: { filter: 'all' } })
  expect(store.query(todos$)).toEqual([])
  const seen: unknown[] = []
  store.subscribe(selectedTodo$, (todo) => seen.push(todo))
  store.commit(events.todoCreated({ id: 'a', text: 'milk' }))
  store.setSignal(selectedId$, 'a')
  expect(store.query(todos$)).toEqual([{ id: 'a', text: 'milk', completed: false }])
  expect(seen).toEqual([null, { id: 'a', text: 'milk', completed: false }])
})
