// What the query builder makes: its SQL, its values and the tables that it reads or writes.

import { SessionIdSymbol, State } from '@livestore/livestore'
import { expect, test } from 'vitest'

import { different } from './different.js'
import { created, ids, isShutDown, open, tables, thrown, written } from './support.js'

const { todos, notes } = tables as Record<'todos' | 'notes', any>

/** LiveStore puts a space behind a write without conditions. */
const sql = (builder: any) => {
  const { query, bindValues, usedTables } = builder.asSql()
  return [query.trim(), bindValues, [...usedTables]]
}

const TODOS = ['todos']
const reads: Array<[string, () => any, string, unknown[]]> = [
  ['a table', () => todos, `SELECT * FROM 'todos'`, []],
  ['select()', () => todos.select(), `SELECT * FROM 'todos'`, []],
  ['select of one column', () => todos.select('id'), `SELECT "id" FROM 'todos'`, []],
  ['select of columns', () => todos.select('id', 'done'), `SELECT "id", "done" FROM 'todos'`, []],
  ['where of an object', () => todos.where({ done: true, text: 'x' }), `SELECT * FROM 'todos' WHERE "done" = ? AND "text" = ?`, [1, 'x']],
  ['where of undefined values', () => todos.where({ done: undefined, text: 'x' }), `SELECT * FROM 'todos' WHERE "text" = ?`, ['x']],
  ['where of nothing', () => todos.where({}), `SELECT * FROM 'todos'`, []],
  ['where of an operation', () => todos.where({ rank: { op: '>', value: 5 } }), `SELECT * FROM 'todos' WHERE "rank" > ?`, [5]],
  ['where of column and value', () => todos.where('done', false), `SELECT * FROM 'todos' WHERE "done" = ?`, [0]],
  ['where of column, operator and value', () => todos.where('due', '>=', new Date(0)), `SELECT * FROM 'todos' WHERE "due" >= ?`, ['1970-01-01T00:00:00.000Z']],
  ['where twice', () => todos.where('id', 'a').where({ rank: 1 }), `SELECT * FROM 'todos' WHERE "id" = ? AND "rank" = ?`, ['a', 1]],
  ['where of null', () => todos.where({ due: null }), `SELECT * FROM 'todos' WHERE "due" IS NULL`, []],
  ['where of = null', () => todos.where('due', '=', null), `SELECT * FROM 'todos' WHERE "due" IS NULL`, []],
  ['where of != null', () => todos.where('due', '!=', null), `SELECT * FROM 'todos' WHERE "due" IS NOT NULL`, []],
  ['IN', () => todos.where({ id: { op: 'IN', value: ['a', 'b'] } }), `SELECT * FROM 'todos' WHERE "id" IN (?, ?)`, ['a', 'b']],
  ['NOT IN', () => todos.where('id', 'NOT IN', ['a']), `SELECT * FROM 'todos' WHERE "id" NOT IN (?)`, ['a']],
  ['IN []', () => todos.where('id', 'IN', []), `SELECT * FROM 'todos' WHERE 0=1`, []],
  ['NOT IN []', () => todos.where('id', 'NOT IN', []), `SELECT * FROM 'todos' WHERE 1=1`, []],
  ['IN of values that are encoded', () => todos.where('done', 'IN', [true, false]), `SELECT * FROM 'todos' WHERE "done" IN (?, ?)`, [1, 0]],
  ['JSON_CONTAINS', () => todos.where({ tags: { op: 'JSON_CONTAINS', value: 'x' } }), `SELECT * FROM 'todos' WHERE EXISTS (SELECT 1 FROM json_each("tags") WHERE value = ?)`, ['x']],
  ['JSON_NOT_CONTAINS', () => todos.where('tags', 'JSON_NOT_CONTAINS', 'x'), `SELECT * FROM 'todos' WHERE NOT EXISTS (SELECT 1 FROM json_each("tags") WHERE value = ?)`, ['x']],
  ['a whole list', () => todos.where({ tags: ['x'] }), `SELECT * FROM 'todos' WHERE "tags" = ?`, ['["x"]']],
  ['orderBy', () => todos.orderBy('id', 'desc'), `SELECT * FROM 'todos' ORDER BY "id" desc`, []],
  ['orderBy of a list, and another', () => todos.orderBy([{ col: 'id', direction: 'desc' }, { col: 'text', direction: 'asc' }]).orderBy('rank', 'asc'), `SELECT * FROM 'todos' ORDER BY "id" desc, "text" asc, "rank" asc`, []],
  ['limit', () => todos.limit(5), `SELECT * FROM 'todos' LIMIT ?`, [5]],
  ['offset and limit', () => todos.offset(5).limit(10), `SELECT * FROM 'todos' LIMIT ? OFFSET ?`, [10, 5]],
  ['first', () => todos.where('done', true).first(), `SELECT * FROM 'todos' WHERE "done" = ? LIMIT ?`, [1, 1]],
  ['count', () => todos.count(), `SELECT COUNT(*) as count FROM 'todos'`, []],
  ['count behind where', () => todos.where('done', true).count(), `SELECT COUNT(*) as count FROM 'todos' WHERE "done" = ?`, [1]],
  ['count before where', () => todos.count().where('done', true), `SELECT COUNT(*) as count FROM 'todos' WHERE "done" = ?`, [1]],
  ['all at once', () => todos.select('id').where({ done: true }).orderBy('due', 'desc').offset(1).limit(2), `SELECT "id" FROM 'todos' WHERE "done" = ? ORDER BY "due" desc LIMIT ? OFFSET ?`, [1, 2, 1]],
]
const writes: Array<[string, () => any, string, unknown[]]> = [
  ['insert', () => todos.insert({ id: 'a', done: true, tags: ['x'], due: new Date(5) }), `INSERT INTO 'todos' ("id", "done", "tags", "due") VALUES (?, ?, ?, ?)`, ['a', 1, '["x"]', '1970-01-01T00:00:00.005Z']],
  ['insert of undefined values', () => todos.insert({ id: 'a', text: undefined }), `INSERT INTO 'todos' ("id") VALUES (?)`, ['a']],
  ['onConflict ignore', () => todos.insert({ id: 'a' }).onConflict('id', 'ignore'), `INSERT INTO 'todos' ("id") VALUES (?) ON CONFLICT ("id") DO NOTHING`, ['a']],
  ['onConflict replace', () => todos.insert({ id: 'a' }).onConflict('id', 'replace'), `INSERT OR REPLACE INTO 'todos' ("id") VALUES (?)`, ['a']],
  ['onConflict update', () => todos.insert({ id: 'a', text: 'x' }).onConflict('id', 'update', { text: undefined, done: true }), `INSERT INTO 'todos' ("id", "text") VALUES (?, ?) ON CONFLICT ("id") DO UPDATE SET "text" = excluded."text", "done" = ?`, ['a', 'x', 1]],
  ['onConflict of columns', () => todos.insert({ id: 'a' }).onConflict(['id', 'text'], 'ignore'), `INSERT INTO 'todos' ("id") VALUES (?) ON CONFLICT ("id", "text") DO NOTHING`, ['a']],
  ['insert returning', () => todos.insert({ id: 'a' }).returning('id', 'text'), `INSERT INTO 'todos' ("id") VALUES (?) RETURNING "id", "text"`, ['a']],
  ['update of all rows', () => todos.update({ text: 'x', done: true }), `UPDATE 'todos' SET "text" = ?, "done" = ?`, ['x', 1]],
  ['update of undefined values', () => todos.update({ text: 'x', done: undefined }), `UPDATE 'todos' SET "text" = ?`, ['x']],
  ['update to null', () => todos.update({ due: null }).where({ id: 'a' }), `UPDATE 'todos' SET "due" = ? WHERE "id" = ?`, [null, 'a']],
  ['update before where', () => todos.update({ text: 'x' }).where({ id: 'a' }), `UPDATE 'todos' SET "text" = ? WHERE "id" = ?`, ['x', 'a']],
  ['update behind where', () => todos.where({ id: 'a' }).update({ text: 'x' }), `UPDATE 'todos' SET "text" = ? WHERE "id" = ?`, ['x', 'a']],
  ['update returning', () => todos.update({ text: 'x' }).where({ id: 'a' }).returning('id'), `UPDATE 'todos' SET "text" = ? WHERE "id" = ? RETURNING "id"`, ['x', 'a']],
  ['delete of all rows', () => todos.delete(), `DELETE FROM 'todos'`, []],
  ['delete before where', () => todos.delete().where('rank', '<', 5), `DELETE FROM 'todos' WHERE "rank" < ?`, [5]],
  ['delete behind where, returning', () => todos.where('id', 'a').delete().returning('id'), `DELETE FROM 'todos' WHERE "id" = ? RETURNING "id"`, ['a']],
]
for (const [name, builder, query, bindValues] of [...reads, ...writes]) {
  test(`SQL of ${name}`, () => {
    expect(sql(builder())).toEqual([query, bindValues, TODOS])
  })
}

for (const op of ['=', '!=', '<', '<=', '>', '>=']) {
  test(`SQL of the operator ${op}`, () => {
    expect(sql(todos.where('rank', op, 1))).toEqual([`SELECT * FROM 'todos' WHERE "rank" ${op} ?`, [1], TODOS])
  })
}
for (const op of ['LIKE', 'NOT LIKE']) {
  test(`SQL of the operator ${op}`, () => {
    expect(sql(todos.where('text', op, 'a%'))).toEqual([`SELECT * FROM 'todos' WHERE "text" ${op} ?`, ['a%'], TODOS])
  })
}

test('SQL of a client document', () => {
  const { query, bindValues } = (tables.ui as any).get('a').asSql()
  expect([query, bindValues]).toEqual([`SELECT * FROM 'ui' WHERE id = ?`, ['a']])
  expect(tables.ui.get().asSql().bindValues).toEqual([SessionIdSymbol])
})

test('a query is its SQL as a text', () => {
  expect(String(todos.where({ id: 'a' }))).toBe(`SELECT * FROM 'todos' WHERE "id" = ?`)
})

test('a step leaves what it was made of as it was', () => {
  const base = todos.where({ done: true })
  base.where({ rank: 1 }).orderBy('id', 'asc').limit(1)
  expect(sql(base)).toEqual([`SELECT * FROM 'todos' WHERE "done" = ?`, [1], TODOS])
})

const refused: Array<[string, () => any]> = [
  ['null with an operator of order', () => todos.where('due', '>', null)],
  ['IN without a list', () => todos.where('id', 'IN', 'a')],
  ['a value of another type', () => todos.where('done', 'yes')],
  ['undefined as the value of a column', () => todos.where('rank', undefined)],
  ['an unknown column', () => todos.where('nothing', 1)],
  ['JSON_CONTAINS of a column that is no JSON', () => todos.where('text', 'JSON_CONTAINS', 'x')],
  ['first() behind limit()', () => todos.limit(5).first()],
  ['where() of an insert', () => todos.insert({ id: 'a' }).where({ id: 'a' })],
  ['select() of an insert', () => todos.insert({ id: 'a' }).select('id')],
  ['limit() of a delete', () => todos.delete().limit(1)],
  ['onConflict() of a select', () => todos.onConflict('id', 'ignore')],
  ['onConflict() that updates nothing', () => todos.insert({ id: 'a' }).onConflict('id', 'update', {})],
  ['returning() of a select', () => todos.returning('id')],
]
for (const [name, builder] of refused) {
  test(`${name} is refused`, () => {
    expect(thrown(() => builder().asSql())).not.toBe('')
  })
}

// What differs.

const updatesUnknown = () => todos.insert({ id: 'a' }).onConflict('id', 'update', { nothing: 1 })
const unknownAction = () => todos.insert({ id: 'a' }).onConflict('id', 'nothing')
const wrong: Array<[() => any, RegExp]> = [
  [() => todos.orderBy('nothing', 'asc'), /the table todos has no column nothing/],
  [() => todos.insert({ id: 'a', nothing: 1 }), /the table todos has no column nothing/],
  [() => todos.where('rank', '~', 1), /there is no operator ~/],
  [() => todos.where({ rank: { op: '~', value: 1 } }), /there is no operator ~/],
  [() => todos.orderBy('id', 'DESC'), /rows are ordered by id 'asc' or 'desc', and not 'DESC'/],
  [() => todos.update({ nothing: 1 }), /the table todos has no column nothing/],
  [() => todos.insert({ id: 'a' }).returning('nothing'), /the table todos has no column nothing/],
  [() => todos.insert({ id: 'a' }).onConflict('nothing', 'ignore'), /the table todos has no column nothing/],
  [updatesUnknown, /the table todos has no column nothing/],
]
different('mistakes-in-queries', {
  livestore: async () => {
    for (const [builder] of wrong) expect(thrown(builder)).toBe('')
    expect(thrown(() => todos.where('nothing', 1))).toBe('')
    expect(thrown(() => updatesUnknown().asSql())).toBe('Column nothing not found')
    expect(thrown(unknownAction)).toBe('effect/Match/exhaustive: absurd')
    const store = await open()
    expect(thrown(() => store.query(todos.where('rank', '~', 1)))).toMatch(/syntax error/)
  },
  ours: () => {
    for (const [builder, reason] of wrong) expect(thrown(builder)).toMatch(reason)
    expect(thrown(unknownAction)).toMatch(/onConflict\(\) takes 'ignore', 'replace' or 'update', and not 'nothing'/)
    expect(thrown(() => todos.where('nothing', 1))).toMatch(/no column nothing/)
  },
})

different('ILIKE', {
  livestore: async () => {
    const store = await open()
    expect(thrown(() => store.query(todos.where('text', 'ILIKE', 'm%')))).toMatch(/near "ILIKE": syntax error/)
  },
  ours: async () => {
    const store = await open()
    store.commit(created('a', { text: 'Milk' }), created('b', { text: 'bread' }))
    expect(ids(store, todos.where('text', 'ILIKE', 'm%'))).toBe('a')
    expect(ids(store, todos.where('text', 'NOT ILIKE', 'm%'))).toBe('b')
    expect(sql(todos.where('text', 'ILIKE', 'm%'))[0]).toBe(`SELECT * FROM 'todos' WHERE "text" LIKE ?`)
  },
})

different('offset-without-limit', {
  livestore: async () => {
    const store = await open()
    expect(thrown(() => store.query(todos.offset(1)))).toMatch(/syntax error/)
  },
  ours: async () => {
    const store = await open()
    store.commit(created('a'), created('b'), created('c'))
    expect(store.query(todos.orderBy('id', 'asc').offset(1).select('id'))).toEqual(['b', 'c'])
  },
})

const inserted = async () => {
  const store = await open()
  for (const id of ['c', 'a', 'b']) store.commit(created(id))
  return store.query(todos).map((todo: any) => todo.id).join('')
}
different('order-of-rows', {
  livestore: async () => {
    expect(await inserted()).toBe('cab')
  },
  ours: async () => {
    expect(await inserted()).toBe('abc')
  },
})

different('limits', {
  livestore: async () => {
    const store = await open()
    store.commit(created('a'), created('b'))
    expect(store.query(todos.limit(-1).select('id'))).toHaveLength(2)
  },
  ours: () => {
    for (const limit of [-1, 1.5, Number.NaN]) expect(thrown(() => todos.limit(limit))).toMatch(/limit takes a whole number/)
    expect(thrown(() => todos.offset(-1))).toMatch(/offset takes a whole number/)
  },
})

different('updates-of-nothing', {
  livestore: async () => {
    expect(sql(todos.update({ text: undefined }))[0]).toBe('SELECT 1')
    const store = await open({ write: () => todos.update({}) })
    store.commit(written({}))
    expect(isShutDown(store)).toBe(false)
  },
  ours: () => {
    expect(thrown(() => todos.update({ text: undefined }).asSql())).toMatch(/an update of todos sets nothing/)
  },
})

const lazy = State.SQLite.table({ name: 'lazy', columns: { id: State.SQLite.text({ primaryKey: true, default: 'one' }) } })
different('inserts-of-nothing', {
  livestore: () => {
    expect(sql(lazy.insert({}))[0]).toBe(`INSERT INTO 'lazy' () VALUES ()`)
  },
  ours: async () => {
    expect(sql(lazy.insert({}))[0]).toBe(`INSERT INTO 'lazy' DEFAULT VALUES`)
    const store = await open({ tables: { lazy }, write: () => lazy.insert({}) })
    store.commit(written({}))
    expect(store.query(lazy)).toEqual([{ id: 'one' }])
  },
})

const loose: any = State.SQLite.table({
  name: 'loose',
  columns: { id: State.SQLite.text({ primaryKey: true }), it: State.SQLite.json() },
})
different('json-contains', {
  livestore: () => {
    expect(thrown(() => loose.where('it', 'JSON_CONTAINS', 5).asSql())).toMatch(/is not a JSON array/)
  },
  ours: async () => {
    const store = await open({ tables: { loose }, write: () => loose.insert({ id: 'a', it: [5, 'x'] }) })
    store.commit(written({}))
    expect(ids(store, loose.where('it', 'JSON_CONTAINS', 5))).toBe('a')
    expect(ids(store, loose.where('it', 'JSON_CONTAINS', '5'))).toBe('')
  },
})

different('session-ids-in-conditions', {
  livestore: async () => {
    const store = await open()
    expect(thrown(() => store.query(notes.where({ id: SessionIdSymbol })))).toMatch(/Expected string/)
  },
  ours: async () => {
    const store = await open({ write: (_, { event }) => notes.insert({ id: event.sessionId }) })
    store.commit(written({}))
    expect(store.query(notes.where({ id: SessionIdSymbol }))).toEqual([{ id: store.sessionId }])
  },
})
