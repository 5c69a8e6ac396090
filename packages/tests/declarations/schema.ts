// Whatever an app may export, whose types are inferred: `pack.test.ts` has declarations made of it.

import { makeInMemoryAdapter } from '@livestore/adapter-web'
import { computed, Events, makeSchema, queryDb, Schema, SessionIdSymbol, signal, State, storeOptions, createStore } from '@livestore/livestore'
import * as z from 'zod'

export const events = {
  todoCreated: Events.synced({ name: 'v1.TodoCreated', schema: Schema.Struct({ id: Schema.String, text: Schema.String }) }),
  todoMoved: Events.synced({ name: 'v1.TodoMoved', schema: z.object({ id: z.string(), to: z.number() }) }),
  filterChanged: Events.clientOnly({ name: 'FilterChanged', schema: Schema.Struct({ filter: Schema.String }) }),
}
export const todos = State.SQLite.table({
  name: 'todos',
  columns: {
    id: State.SQLite.text({ primaryKey: true }),
    text: State.SQLite.text({ default: '' }),
    done: State.SQLite.boolean({ default: false }),
    rank: State.SQLite.integer({ nullable: true }),
    at: State.SQLite.datetime({ nullable: true }),
    tags: State.SQLite.json({ schema: Schema.Array(Schema.String), default: [] }),
    zod: State.SQLite.json({ schema: z.object({ a: z.number() }), nullable: true }),
  },
  indexes: [{ name: 'by_rank', columns: ['rank'] }],
})
export const notes = State.SQLite.table({ name: 'notes', schema: Schema.Struct({ id: Schema.String, n: Schema.Number }) })
export const single = State.SQLite.table({ name: 'single', columns: State.SQLite.text({ primaryKey: true }) })
export const ui = State.SQLite.clientDocument({ name: 'ui', schema: Schema.Struct({ filter: Schema.String }), default: { id: SessionIdSymbol, value: { filter: 'all' } } })
export const zui = State.SQLite.clientDocument({ name: 'zui', schema: z.object({ filter: z.string() }), partialSet: false, default: { value: { filter: 'all' } } })
export const tables = { todos, notes, single, ui, zui }
export const materializers = State.SQLite.materializers(events, {
  'v1.TodoCreated': ({ id, text }) => todos.insert({ id, text }),
  'v1.TodoMoved': ({ id, to }, ctx) => [todos.update({ rank: to }).where({ id }), ...ctx.query(todos.where({ id })).map(() => [])],
  FilterChanged: () => [],
})
export const state = State.SQLite.makeState({ tables, materializers })
export const schema = makeSchema({ events, state })
export const adapter = makeInMemoryAdapter()
export const store = createStore({ schema, adapter, storeId: 'my-app' })
export const options = storeOptions({ schema, adapter, storeId: 'my-app' })
export const todos$ = queryDb(() => tables.todos, { label: 'todos' })
export const some$ = queryDb(todos.where({ done: false }).orderBy('id', 'asc'), { map: (rows) => rows.length })
export const first$ = queryDb(todos.select('id', 'text').first({ behaviour: 'error' }))
export const sql$ = queryDb({ query: 'SELECT 1 AS one', schema: Schema.Array(Schema.Struct({ one: Schema.Number })) })
export const selectedId$ = signal<string | null>(null, { label: 'selectedId' })
export const selected$ = computed([todos$, selectedId$], ([rows, id]) => rows.find((row) => row.id === id) ?? null, { label: 'selected' })
export const got$ = computed((get) => get(selectedId$))
export const builder = todos.where({ id: 'a' }).limit(5)
export const insert = todos.insert({ id: 'a' }).onConflict('id', 'ignore')
export const counting = todos.count()
export const row = ui.get()
export const set = ui.set({ filter: 'x' })
export const receipt = store.commit(events.todoCreated({ id: 'a', text: 'b' }))
export const all = store.query(todos)
export const stream = store.events()
export const values = store.subscribe(todos$)
export const status = store.syncStatus()
