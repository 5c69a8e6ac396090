// What queries answer.

import { computed, queryDb, Schema, SessionIdSymbol, signal, sql, State } from '@livestore/livestore'
import { expect, test } from 'vitest'

import { different } from './different.js'
import { completed, created, follow, ids, open, tables, thrown, written } from './support.js'

const { todos, notes } = tables as Record<'todos' | 'notes', any>

const filled = async () => {
  const store = await open()
  store.commit(
    created('a', { text: 'Milk', rank: 1, tags: ['x', 'y'] }),
    created('b', { text: 'bread', rank: 2, tags: ['y'] }),
    created('c', { text: 'butter', due: new Date(5) }),
  )
  return store
}

test('rows are decoded', async () => {
  const store = await filled()
  expect(store.query(todos.where({ id: 'c' }))).toEqual([
    { id: 'c', text: 'butter', done: false, rank: null, tags: [], due: new Date(5) },
  ])
})

test('select() of one column has its values, and of several the rows', async () => {
  const store = await filled()
  expect(store.query(todos.orderBy('id', 'asc').select('rank'))).toEqual([1, 2, null])
  expect(store.query(todos.where({ id: 'a' }).select('id', 'done'))).toEqual([{ id: 'a', done: false }])
})

const conditions: Array<[unknown[], string]> = [
  [['rank', '>', 1], 'b'],
  [['rank', '>=', 1], 'ab'],
  [['rank', '<', 2], 'a'],
  [['rank', '<=', 2], 'ab'],
  [['rank', '=', 2], 'b'],
  [['rank', '!=', 1], 'b'],
  [['rank', null], 'c'],
  [['rank', '!=', null], 'ab'],
  [['rank', 'NOT IN', [1]], 'b'],
  [['text', 'LIKE', 'b%'], 'bc'],
  [['text', 'LIKE', 'm%'], 'a'],
  [['text', 'NOT LIKE', 'b%'], 'a'],
  [['id', 'IN', ['a', 'c', 'z']], 'ac'],
  [['id', 'NOT IN', ['a']], 'bc'],
  [['id', 'IN', []], ''],
  [['id', 'NOT IN', []], 'abc'],
  [['tags', 'JSON_CONTAINS', 'x'], 'a'],
  [['tags', 'JSON_CONTAINS', 'y'], 'ab'],
  [['tags', 'JSON_NOT_CONTAINS', 'x'], 'bc'],
  [['tags', ['y']], 'b'],
  [['due', new Date(5)], 'c'],
  [['due', '>', new Date(4)], 'c'],
  [[{ done: false, rank: { op: '>', value: 1 } }], 'b'],
  [[{}], 'abc'],
]
test('conditions choose rows as SQL does', async () => {
  const store = await filled()
  for (const [where, expected] of conditions) {
    expect([where, ids(store, todos.where(...(where as [any])))]).toEqual([where, expected])
  }
})

test('JSON_CONTAINS encodes what is looked for as the list does', async () => {
  const lists: any = State.SQLite.table({
    name: 'lists',
    columns: {
      id: State.SQLite.text({ primaryKey: true }),
      dates: State.SQLite.json({ schema: Schema.Array(Schema.Date) }),
      structs: State.SQLite.json({ nullable: true, schema: Schema.Array(Schema.Struct({ a: Schema.Number })) }),
      truths: State.SQLite.json({ schema: Schema.Array(Schema.Boolean) }),
    },
  })
  const row = { id: 'a', dates: [new Date(5)], structs: [{ a: 1 }], truths: [true] }
  const store = await open({ tables: { lists }, write: () => lists.insert(row) })
  store.commit(written({}))
  expect(lists.where('dates', 'JSON_CONTAINS', new Date(5)).asSql().bindValues).toEqual(['1970-01-01T00:00:00.005Z'])
  expect(ids(store, lists.where('dates', 'JSON_CONTAINS', new Date(5)))).toBe('a')
  expect(ids(store, lists.where('structs', 'JSON_CONTAINS', { a: 1 }))).toBe('a')
  expect(ids(store, lists.where('truths', 'JSON_CONTAINS', true))).toBe('a')
  expect(ids(store, lists.where('truths', 'JSON_NOT_CONTAINS', true))).toBe('')
  expect(thrown(() => lists.where('truths', 'JSON_CONTAINS', 'yes').asSql())).toMatch(/boolean/)
})

test('orderBy, limit and offset: null comes before all values', async () => {
  const store = await filled()
  expect(store.query(todos.orderBy('rank', 'asc').select('id'))).toEqual(['c', 'a', 'b'])
  expect(store.query(todos.orderBy('rank', 'desc').select('id'))).toEqual(['b', 'a', 'c'])
  expect(store.query(todos.orderBy('rank', 'desc').limit(1).select('id'))).toEqual(['b'])
  expect(store.query(todos.orderBy('id', 'asc').offset(1).limit(1).select('id'))).toEqual(['b'])
  expect(store.query(todos.orderBy([{ col: 'done', direction: 'asc' }, { col: 'id', direction: 'desc' }]).select('id'))).toEqual(['c', 'b', 'a'])
})

test('count() is a number', async () => {
  const store = await filled()
  expect(store.query(todos.count())).toBe(3)
  expect(store.query(todos.where({ text: 'none' }).count())).toBe(0)
})

test('first() is the first row, or what is said', async () => {
  const store = await filled()
  const none = todos.where({ id: 'none' })
  expect(store.query(todos.orderBy('id', 'desc').first()).id).toBe('c')
  expect(store.query(todos.orderBy('id', 'desc').select('id').first())).toBe('c')
  expect(store.query(none.first())).toBeUndefined()
  expect(store.query(none.first({ behaviour: 'undefined' }))).toBeUndefined()
  expect(thrown(() => store.query(none.first({ behaviour: 'error' })))).not.toBe('')
  expect(store.query(todos.orderBy('id', 'asc').select('id').first({ behaviour: 'error' }))).toBe('a')
  expect(store.query(none.select('id').first({ behaviour: 'fallback', fallback: () => 'z' }))).toBe('z')
  expect(store.query(none.first({ behaviour: 'fallback', fallback: () => ({ id: 'z' }) }))).toEqual({ id: 'z' })
  expect(store.query(todos.where({ id: 'a' }).select('due').first())).toBeNull()
})

test('what is committed is there for the next query', async () => {
  const store = await filled()
  store.commit(completed({ id: 'a' }))
  expect(ids(store, todos.where({ done: true }))).toBe('a')
})

test('query() takes live queries, computations and signals', async () => {
  const store = await filled()
  const count$ = queryDb<number>(todos.count())
  expect(store.query(count$)).toBe(3)
  expect(store.query(computed((get) => get(count$) + 1))).toBe(4)
  expect(store.query(signal('x'))).toBe('x')
})

test('a stored value that does not fit its column is an error', async () => {
  const strict = State.SQLite.table({
    name: 'strict',
    columns: { id: State.SQLite.text({ primaryKey: true }), it: State.SQLite.text({ schema: Schema.Literal('a') }) },
  })
  const store = await open({ tables: { strict }, write: () => ({ sql: `INSERT INTO strict VALUES ('1', 'z')`, bindValues: [] }) })
  store.commit(written({}))
  expect(thrown(() => store.query(strict))).not.toBe('')
})

// SQL.

test('SQL answers rows as SQLite has them', async () => {
  const store = await filled()
  expect(store.query({ query: 'SELECT id, done, tags FROM todos WHERE rank = 1', bindValues: [] })).toEqual([
    { id: 'a', done: 0, tags: '["x","y"]' },
  ])
  expect(store.query({ query: "SELECT 1 AS i, 1.5 AS r, 'x' AS t, NULL AS n, x'01' AS b, 9007199254740993 AS great", bindValues: [] })).toEqual([
    { i: 1, r: 1.5, t: 'x', n: null, b: new Uint8Array([1]), great: 9007199254740993n },
  ])
})

test('values are bound by position or by name; names that are not used are left out', async () => {
  const store = await filled()
  expect(store.query({ query: 'SELECT id FROM todos WHERE rank = ? AND id = ?', bindValues: [1, 'a'] })).toEqual([{ id: 'a' }])
  expect(store.query({ query: 'SELECT id FROM todos WHERE rank = $rank', bindValues: { rank: 2, more: 1 } })).toEqual([{ id: 'b' }])
  expect(store.query({ query: 'SELECT ? AS b, ? AS n', bindValues: [true, null] })).toEqual([{ b: 1, n: null }])
  expect(store.query({ query: 'SELECT ? AS great', bindValues: [9007199254740993n] })).toEqual([{ great: 9007199254740993n }])
})

test('a schema decodes all rows of SQL together', async () => {
  const store = await filled()
  const Row = Schema.Struct({ id: Schema.String, due: Schema.NullOr(Schema.Date) })
  const query = sql`SELECT id, due FROM todos WHERE id = 'c'`
  expect(store.query({ query, bindValues: [], schema: Schema.Array(Row) })).toEqual([{ id: 'c', due: new Date(5) }])
  const count = Schema.Struct({ n: Schema.Number }).pipe(Schema.pluck('n'), Schema.Array, Schema.headOrElse())
  expect(store.query({ query: 'SELECT count(*) AS n FROM todos', bindValues: [], schema: count })).toBe(3)
  expect(thrown(() => store.query({ query, bindValues: [], schema: Schema.Array(Schema.Struct({ id: Schema.Number })) }))).not.toBe('')
})

test('wrong SQL is an error that says where', async () => {
  const store = await open()
  expect(thrown(() => store.query({ query: 'SELEC', bindValues: [] }))).toMatch(/near "SELEC": syntax error/)
  expect(thrown(() => store.query({ query: 'SELECT * FROM nobody', bindValues: [] }))).toMatch(/no such table: nobody/)
})

test('what is no query is refused', async () => {
  const store = await open()
  for (const other of [{}, 5]) expect(thrown(() => store.query(other))).not.toBe('')
})

// What differs.

const INSERT = { query: "INSERT INTO notes (id) VALUES ('raw')", bindValues: [] }
different('queries-do-not-write', {
  livestore: async () => {
    const store = await open()
    const seen = follow(store, notes.count())
    expect(thrown(() => store.query(notes.insert({ id: 'built' })))).toMatch(/Failed to decode query result/)
    store.query(INSERT)
    expect(ids(store, notes)).toBe('builtraw')
    expect([store.syncStatus().localHead, seen]).toEqual(['e0', [0]])
  },
  ours: async () => {
    const store = await open()
    expect(thrown(() => store.query(notes.insert({ id: 'built' })))).toMatch(/a query cannot write/)
    expect(thrown(() => store.query(INSERT))).toMatch(/inserting into table notes is not allowed in a query/)
    expect(ids(store, notes)).toBe('')
  },
})

const COUNT = { query: 'SELECT count(*) AS n FROM todos' }
const counting = () => {
  const seen: unknown[] = []
  const write = (_: unknown, context: any) => {
    try {
      seen.push(context.query(COUNT))
    } catch (error) {
      seen.push(error)
    }
    return []
  }
  return { seen, write }
}
different('raw-sql-without-values', {
  livestore: async () => {
    const { seen, write } = counting()
    const store = await open({ write })
    expect(thrown(() => store.query(COUNT))).toMatch(/query\.run is not a function/)
    store.commit(written({}))
    expect(seen[0]).toBeInstanceOf(TypeError)
  },
  ours: async () => {
    const { seen, write } = counting()
    const store = await open({ write })
    expect(store.query(COUNT)).toEqual([{ n: 0 }])
    store.commit(written({}))
    expect(seen).toEqual([[{ n: 0 }]])
  },
})

different('raw-live-queries-without-schema', {
  livestore: () => {
    expect(thrown(() => queryDb(COUNT as never))).toMatch(/Invalid query input/)
  },
  ours: async () => {
    const store = await open()
    expect(store.query(queryDb(COUNT as any))).toEqual([{ n: 0 }])
  },
})

const spelled = (store: any) => ['$id', ':id', '@id'].map((id) => store.query({ query: `SELECT ${id} AS it`, bindValues: { id: 'a' } })[0].it)
different('spellings-of-parameters', {
  livestore: async () => {
    expect(spelled(await open())).toEqual(['a', null, null])
  },
  ours: async () => {
    expect(spelled(await open())).toEqual(['a', 'a', 'a'])
  },
})

const mine = (store: any) => store.query({ query: 'SELECT ? AS it', bindValues: [SessionIdSymbol] })[0].it
const Mine = Schema.Array(Schema.Struct({ it: Schema.String }))
const mineLive = (store: any) => store.query(queryDb({ query: 'SELECT ? AS it', bindValues: [SessionIdSymbol] as any, schema: Mine }))[0].it
different('session-ids-in-sql', {
  livestore: async () => {
    const store = await open()
    expect(mineLive(store)).toBe(store.sessionId)
    expect(mine(store)).toBeNull()
  },
  ours: async () => {
    const store = await open()
    expect(mineLive(store)).toBe(store.sessionId)
    expect(mine(store)).toBe(store.sessionId)
  },
})

const byRowid = async () => {
  const store = await open()
  store.commit(created('b'), created('a'))
  return () => store.query({ query: 'SELECT id FROM todos ORDER BY rowid', bindValues: {} }).map((row: any) => row.id).join('')
}
different('rowid', {
  livestore: async () => {
    expect((await byRowid())()).toBe('ba')
  },
  ours: async () => {
    expect(thrown(await byRowid())).toMatch(/no such column: rowid/)
  },
})

const typesOf = (store: any) => [1, '1'].map((value) => store.query({ query: 'SELECT typeof(?) AS it FROM todos', bindValues: [value] })[0].it)
different('cached-results', {
  livestore: async () => {
    expect(typesOf(await filled())).toEqual(['integer', 'integer'])
  },
  ours: async () => {
    expect(typesOf(await filled())).toEqual(['integer', 'text'])
  },
})

const changed = async () => {
  const store = await filled()
  const query = { query: 'SELECT id FROM todos WHERE rank = 1', bindValues: [] }
  store.query(query)[0].id = 'changed'
  return store.query(query)
}
different('results-belong-to-who-asked', {
  livestore: async () => {
    expect(await changed()).toEqual([{ id: 'changed' }])
  },
  ours: async () => {
    expect(await changed()).toEqual([{ id: 'a' }])
  },
})

const unbound = (store: any) => [[5], []].map((bindValues) => store.query({ query: 'SELECT ? AS it', bindValues })[0].it)
different('unbound-parameters', {
  livestore: async () => {
    expect(unbound(await open())).toEqual([5, 5])
  },
  ours: async () => {
    const store = await open()
    expect(thrown(() => unbound(store))).toMatch(/Got 0, needed 1/)
    expect(store.query({ query: 'SELECT $it AS it', bindValues: {} })).toEqual([{ it: null }])
  },
})

const date = { query: 'SELECT ? AS it', bindValues: [new Date(0)] }
different('values-that-sqlite-does-not-have', {
  livestore: async () => {
    const store = await open()
    expect(store.query(date)).toEqual([{ it: null }])
  },
  ours: async () => {
    const store = await open()
    expect(thrown(() => store.query(date))).toMatch(/SQLite has no values of this kind/)
  },
})
