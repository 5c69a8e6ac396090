import { makeInMemoryAdapter } from '@livestore-rs/adapter-web'
import { createStore, Events, makeSchema, nanoid, Schema, SessionIdSymbol, State } from '@livestore-rs/livestore'

export const events = {
  todoCreated: Events.synced({
    name: 'v1.TodoCreated',
    schema: Schema.Struct({ id: Schema.String, text: Schema.String, due: Schema.optional(Schema.Date) }),
  }),
  todoCompleted: Events.synced({ name: 'v1.TodoCompleted', schema: Schema.Struct({ id: Schema.String }) }),
  todosCleared: Events.synced({ name: 'v1.TodosCleared', schema: Schema.Void }),
  failed: Events.synced({ name: 'v1.Failed', schema: Schema.Struct({}) }),
}
export const tables = {
  todos: State.SQLite.table({
    name: 'todos',
    columns: {
      id: State.SQLite.text({ primaryKey: true }),
      text: State.SQLite.text({ default: '' }),
      completed: State.SQLite.boolean({ default: false }),
      due: State.SQLite.datetime({ nullable: true }),
      tags: State.SQLite.json({ schema: Schema.Array(Schema.String), default: [] }),
    },
  }),
  ui: State.SQLite.clientDocument({
    name: 'ui',
    schema: Schema.Struct({ filter: Schema.String, open: Schema.Boolean }),
    default: { id: SessionIdSymbol, value: { filter: 'all', open: false } },
  }),
}
export const materializers = State.SQLite.materializers(events, {
  'v1.TodoCreated': ({ id, text, due }) => tables.todos.insert({ id, text, due: due ?? null }),
  'v1.TodoCompleted': ({ id }) => tables.todos.update({ completed: true }).where({ id }),
  'v1.TodosCleared': () => tables.todos.delete(),
  'v1.Failed': () => {
    throw new RangeError('this one always fails')
  },
})
export const schema = makeSchema({ events, state: State.SQLite.makeState({ tables, materializers }) })

export const open = (options: Parameters<typeof makeInMemoryAdapter>[0] = {}) =>
  createStore({ schema, adapter: makeInMemoryAdapter({ clientId: 'ann', ...(options as {}) }), storeId: `test-${nanoid(6)}` })

export const created = (id: string, text = `todo ${id}`) => events.todoCreated({ id, text })
