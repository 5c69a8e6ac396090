import { expect, test } from 'vitest'
import { Schema, State } from '@livestore-rs/livestore'

const todos = State.SQLite.table({
  name: 'todos',
  columns: {
    id: State.SQLite.text({ primaryKey: true }),
    text: State.SQLite.text({ default: '' }),
    completed: State.SQLite.boolean({ default: false }),
    tags: State.SQLite.json({ schema: Schema.Array(Schema.String), default: [] }),
    due: State.SQLite.datetime({ nullable: true }),
  },
})

test('a query is told as SQL', () => {
  const query = todos.select('id').where({ completed: true, text: undefined }).orderBy('due', 'desc').limit(5)
  expect(query.asSql()).toEqual({
    query: `SELECT "id" FROM 'todos' WHERE "completed" = ? ORDER BY "due" desc LIMIT ?`,
    bindValues: [1, 5],
    usedTables: new Set(['todos']),
  })
})

test('an unknown column, operator or value is refused at once, by name', () => {
  expect(() => todos.where('nothing' as never, 1 as never)).toThrow(/the table todos has no column nothing/)
  expect(() => todos.where('text', '~' as never, 'x')).toThrow(/there is no operator ~/)
  expect(() => todos.where('completed', 'yes' as never).asSql()).toThrow(/todos\.completed: expected a boolean, actual "yes"/)
  expect(() => todos.limit(-1)).toThrow(/limit takes a whole number/)
})
