import { Events, Schema } from '@livestore/livestore'
import { expect, test } from 'vitest'

import { different } from './different.js'
import { created, failsSilently, follow, ids, isShutDown, open, sleep, tables, thrown, until, written } from './support.js'

const { todos, notes, ui } = tables as Record<'todos' | 'notes' | 'ui', any>

test('a write of the query builder, a list and a list of lists are carried out in order', async () => {
  const write = () => [todos.insert({ id: 'a' }), [notes.insert({ id: 'n' }), [todos.update({ text: 'x' }).where({ id: 'a' })]]]
  const store = await open({ write })
  store.commit(written({}))
  expect(store.query(todos.select('id', 'text'))).toEqual([{ id: 'a', text: 'x' }])
  expect(ids(store, notes)).toBe('n')
})

test('an empty list writes nothing, and the event is stored', async () => {
  const store = await open({ write: () => [] })
  store.commit(written({}))
  expect(store.syncStatus().localHead).toBe('e1')
})

test('SQL with values by position, by name, or with none is carried out', async () => {
  const write = ({ how }: any) =>
    how === 'position'
      ? { sql: 'INSERT INTO todos (id, rank) VALUES (?, ?)', bindValues: ['a', 1] }
      : how === 'name'
        ? { sql: 'INSERT INTO todos (id, rank) VALUES ($id, $rank)', bindValues: { id: 'b', rank: 2 }, writeTables: new Set(['todos']) }
        : { sql: `INSERT INTO todos (id) VALUES ('c')` }
  const store = await open({ write })
  const seen = follow(store, todos.count())
  for (const how of ['position', 'name', 'none']) store.commit(written({ how }))
  expect(store.query(todos.orderBy('id', 'asc').select('id', 'rank'))).toEqual([
    { id: 'a', rank: 1 },
    { id: 'b', rank: 2 },
    { id: 'c', rank: null },
  ])
  expect(seen).toEqual([0, 1, 2, 3])
})

test('a text of SQL without parameters is carried out, and followers are told', async () => {
  const store = await open({ write: () => 'DELETE FROM todos' })
  store.commit(created('a'))
  const seen = follow(store, todos.count())
  store.commit(written({}))
  expect(seen).toEqual([1, 0])
})

test('onConflict ignores, updates and replaces', async () => {
  const write = ({ how, text }: any) => {
    const insert = todos.insert({ id: 'a', text, done: true })
    return how === 'update' ? insert.onConflict('id', 'update', { text: undefined }) : insert.onConflict('id', how)
  }
  const store = await open({ write })
  const look = () => store.query(todos.select('text', 'done').first())
  store.commit(created('a', { text: '0' }))
  store.commit(written({ how: 'ignore', text: '1' }))
  expect(look()).toEqual({ text: '0', done: false })
  store.commit(written({ how: 'update', text: '2' }))
  expect(look()).toEqual({ text: '2', done: false })
  store.commit(written({ how: 'replace', text: '3' }))
  expect(look()).toEqual({ text: '3', done: true })
})

test('what a write returns is of no interest', async () => {
  const store = await open({ write: () => [todos.insert({ id: 'a' }).returning('id'), todos.update({ text: 'x' }).returning('id')] })
  store.commit(written({}))
  expect(store.query(todos.select('text'))).toEqual(['x'])
})

const ran = async (sql: string) => {
  const store = await open({ write: () => ({ sql }) })
  store.commit(created('a'))
  const said = thrown(() => store.commit(written({})))
  return said === '' && isShutDown(store) ? 'shut down' : said
}
const OTHER_SQL = [
  "UPDATE todos SET text = 'x'; DELETE FROM notes",
  'CREATE TABLE more (id TEXT)',
  'UPDATE todos SET rank = random()',
  "UPDATE todos SET text = datetime('now')",
]
different('sql-of-materializers', {
  livestore: async () => {
    for (const sql of OTHER_SQL) expect(await ran(sql), sql).toBe('')
  },
  ours: async () => {
    for (const sql of OTHER_SQL) expect(await ran(sql), sql).toMatch(/is not allowed in a materializer/)
  },
})

test('SQL calculates with dates, and what it returns is of no interest', async () => {
  const sql = "UPDATE todos SET text = date('2020-01-01', '+1 day') || strftime('%Y', 86400, 'unixepoch') RETURNING id"
  const store = await open({ write: () => [{ sql }, { sql: 'SELECT 1' }] })
  store.commit(created('a'), created('b'))
  store.commit(written({}))
  expect(store.query(todos.select('text'))).toEqual(['2020-01-021970', '2020-01-021970'])
})

test('update and delete without conditions concern all rows', async () => {
  const store = await open({ write: ({ how }) => (how === 'update' ? todos.update({ text: 'x' }) : todos.delete()) })
  store.commit(created('a'), created('b'))
  store.commit(written({ how: 'update' }))
  expect(store.query(todos.select('text'))).toEqual(['x', 'x'])
  store.commit(written({ how: 'delete' }))
  expect(store.query(todos.count())).toBe(0)
})

test('ctx.query reads the state before the event, decoded or as SQL', async () => {
  const seen: unknown[] = []
  const write = (_: unknown, { query }: any) => {
    seen.push(
      query(todos.select('id', 'done')),
      query(todos.count()),
      query(todos.where({ id: 'none' }).first()),
      query({ query: 'SELECT id, done FROM todos WHERE id = $id', bindValues: { id: 'a' } }),
      query({ query: 'SELECT id FROM todos WHERE id = ?', bindValues: ['a'] }),
    )
    return todos.insert({ id: 'b' })
  }
  const store = await open({ write })
  store.commit(created('a'))
  store.commit(written({}))
  expect(seen.slice(0, 5)).toEqual([[{ id: 'a', done: false }], 1, undefined, [{ id: 'a', done: 0 }], [{ id: 'a' }]])
})

test('ctx.query sees what earlier events of a commit have written', async () => {
  const seen: unknown[] = []
  const store = await open({ write: (_, { query }) => (seen.push(query(todos.count())), []) })
  store.commit(created('a'), written({}))
  expect(seen[0]).toBe(1)
})

test('ctx has the event, its definition and who has committed it', async () => {
  let context: any
  const store = await open({ write: (_, given) => ((context ??= given), []) })
  store.commit(written({ x: 1 }))
  expect(context.event).toMatchObject({ name: 'v1.Written', args: { x: 1 }, clientId: store.clientId, sessionId: store.sessionId })
  expect(context.event.seqNum).toMatchObject({ client: 0, rebaseGeneration: 0 })
  expect(context.eventDef.name).toBe('v1.Written')
  expect(context.currentFacts).toEqual(new Map())
})

for (const [what, result] of [['a promise', Promise.resolve([])], ['a number', 5], ['an object', {}]] as const) {
  test(`a materializer that returns ${what} fails`, async () => {
    const store = await open({ write: () => result })
    const said = thrown(() => store.commit(written({})))
    // On LiveStore, it is the store that ends.
    if (said === '') expect(await failsSilently(store, () => {})).toBe(true)
    else expect(said).toMatch(/v1\.Written returned (object|number)/)
  })
}

test('a materializer that commits fails', async () => {
  let store: any
  store = await open({ write: () => (store.commit(created('inner')), []) })
  const said = thrown(() => store.commit(written({})))
  if (said === '') expect(await failsSilently(store, () => {})).toBe(true)
  else expect(ids(store, todos)).toBe('')
})

// What differs.

const named = Events.synced({ name: 'v1.Named', schema: Schema.Struct({ id: Schema.String, at: Schema.Date, rank: Schema.optional(Schema.Number) }) })
const withText = () =>
  open({ events: { named }, materializers: { 'v1.Named': () => 'INSERT INTO todos (id, due, rank) VALUES ($id, $at, $rank)' } })
different('arguments-of-sql-texts', {
  livestore: async () => {
    const store = await withText()
    expect(await failsSilently(store, () => store.commit(named({ id: 'a', at: new Date(5) })))).toBe(true)
  },
  ours: async () => {
    const store = await withText()
    store.commit(named({ id: 'a', at: new Date(5) }))
    expect(store.query(todos.select('id', 'due', 'rank'))).toEqual([{ id: 'a', due: new Date(5), rank: null }])
  },
})

different('materializers-that-return-nothing', {
  livestore: async () => {
    const store = await open({ write: () => {} })
    expect(await failsSilently(store, () => store.commit(written({})))).toBe(true)
  },
  ours: async () => {
    const store = await open({ write: () => {} })
    store.commit(written({}))
    expect(store.syncStatus().localHead).toBe('e1')
    expect(isShutDown(store)).toBe(false)
  },
})

const misled = async () => {
  const write = () => ({ sql: `INSERT INTO todos (id) VALUES ('a')`, bindValues: [], writeTables: new Set(['notes']) })
  const store = await open({ write })
  const seen = follow(store, todos.count())
  store.commit(written({}))
  return seen
}
different('written-tables', {
  livestore: async () => {
    expect(await misled()).toEqual([0])
  },
  ours: async () => {
    expect(await misled()).toEqual([0, 1])
  },
})

const counting = async () => {
  const runs: unknown[] = []
  const store = await open({ write: (args) => (runs.push(args), []) })
  store.commit(written({}))
  return runs
}
different('materializers-run-once', {
  livestore: async () => {
    const runs = await counting()
    await until(() => expect(runs).toHaveLength(2))
  },
  ours: async () => {
    const runs = await counting()
    await sleep(200)
    expect(runs).toHaveLength(1)
  },
})

const positions = async () => {
  const seen: number[][] = []
  const store = await open({ write: (_, { event }) => (seen.push([event.parentSeqNum.global, event.seqNum.global]), []) })
  store.commit(written({}), written({}))
  return seen.slice(0, 2)
}
different('positions-in-materializers', {
  livestore: async () => {
    expect(await positions()).toEqual([[0, 1], [1, 2]])
  },
  ours: async () => {
    expect(await positions()).toEqual([[0, 0], [0, 0]])
  },
})

const readsDocument = async () => {
  let read: unknown
  const store = await open({ write: (_, { query }) => ((read = thrown(() => (read = query(ui.get('m')))) || read), []) })
  store.commit(ui.set({ size: 4 }, 'm'))
  store.commit(written({}))
  return read
}
different('documents-in-materializers', {
  livestore: async () => {
    expect(await readsDocument()).toEqual({ filter: 'all', size: 4 })
  },
  ours: async () => {
    expect(await readsDocument()).toMatch(/there is no table "ui"/)
  },
})
