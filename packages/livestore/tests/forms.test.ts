// Queries that differ in their values alone are one to the engine, and so are writes.

import { makeInMemoryAdapter } from '@livestore-rs/adapter-web'
import { createStore, Events, makeSchema, nanoid, queryDb, Schema, SessionIdSymbol, State } from '@livestore-rs/livestore'
import * as fc from 'fast-check'
import { expect, test } from 'vitest'

const { boolean, datetime, integer, json, table, text } = State.SQLite
const columns = {
  id: text({ primaryKey: true }),
  text: text({ nullable: true }),
  rank: integer({ nullable: true }),
  done: boolean({ default: false }),
  tags: json({ schema: Schema.Array(Schema.String), default: [] }),
  due: datetime({ nullable: true }),
}
const items = table({ name: 'items', columns })
const written = Events.synced({ name: 'v1.Written', schema: Schema.Struct({}) })

/** A store whose materializer does what it is given. */
const open = (tables: Record<string, any> = { items }) => {
  let materialize: (context: any) => unknown
  const state = State.SQLite.makeState({
    tables,
    materializers: State.SQLite.materializers({ written }, { 'v1.Written': (_, context) => materialize(context) as never }),
  })
  const schema = makeSchema({ events: { written }, state })
  const store = createStore({ schema, adapter: makeInMemoryAdapter(), storeId: `forms-${nanoid(6)}` })
  const run = (how: (context: any) => unknown) => {
    materialize = how
    store.commit(written({}))
  }
  const write = (...some: unknown[]) => run(() => some)
  return { store, run, write }
}

const ids = fc.constantFrom('a', 'b', 'c', 'd', 'e')
const texts = fc.constantFrom('', 'x', 'X', "x'y", '%')
const ranks = fc.constantFrom(-1, 0, 1, 2)
const dates = fc.constantFrom(new Date(0), new Date(86_400_000))
const tags = fc.constantFrom('red', 'blue')
const orNull = <T>(some: fc.Arbitrary<T>) => fc.option(some, { freq: 3 })
const values = {
  id: ids,
  text: orNull(texts),
  rank: orNull(ranks),
  done: fc.boolean(),
  tags: fc.uniqueArray(tags),
  due: orNull(dates),
}

const conditions: fc.Arbitrary<unknown[]> = fc.oneof(
  fc.record(values, { requiredKeys: [] }).map((some) => [some]),
  fc.tuple(fc.constant('rank'), fc.constantFrom('=', '!=', '<', '<=', '>', '>='), ranks),
  fc.tuple(fc.constantFrom('text', 'rank', 'due'), fc.constantFrom('=', '!='), fc.constant(null)),
  fc.tuple(fc.constant('text'), fc.constantFrom('LIKE', 'NOT LIKE', 'ILIKE', 'NOT ILIKE'), texts),
  fc.tuple(fc.constant('id'), fc.constantFrom('IN', 'NOT IN'), fc.uniqueArray(ids)),
  fc.tuple(fc.constant('rank'), fc.constantFrom('IN', 'NOT IN'), fc.array(orNull(ranks), { maxLength: 3 })),
  fc.tuple(fc.constant('tags'), fc.constantFrom('JSON_CONTAINS', 'JSON_NOT_CONTAINS'), tags),
)
const wheres = fc.array(conditions, { maxLength: 2 })
const restrict = (query: any, where: unknown[][]) => where.reduce((query: any, params) => query.where(...params), query)

const queries = fc
  .record({
    where: wheres,
    select: fc.option(fc.uniqueArray(fc.constantFrom('id', 'text', 'tags', 'due'), { minLength: 1 })),
    direction: fc.constantFrom('asc', 'desc'),
    limit: fc.option(fc.integer({ min: 0, max: 3 })),
    offset: fc.option(fc.integer({ min: 0, max: 2 })),
    end: fc.constantFrom('rows', 'count', 'first', 'fallback'),
  })
  .map(({ where, select, direction, limit, offset, end }) => {
    const query = restrict(items, where)
    if (end === 'count') return query.count()
    const selected = (select === null ? query : query.select(...select)).orderBy('id', direction)
    const from = offset === null ? selected : selected.offset(offset)
    if (end === 'first') return from.first()
    if (end === 'fallback') return from.first({ behaviour: 'fallback', fallback: () => `none of ${where.length}` })
    return limit === null ? from : from.limit(limit)
  })

const inserts = fc.record(values, { requiredKeys: ['id'] })
const updates = fc.record({ text: values.text, rank: values.rank, tags: values.tags }, { requiredKeys: [] })
const writes: fc.Arbitrary<any> = fc.oneof(
  inserts.map((row) => items.insert(row as never).onConflict('id', 'replace')),
  inserts.map((row) => items.insert(row as never).onConflict('id', 'ignore')),
  fc
    .tuple(inserts, updates, fc.boolean())
    .filter(([, update]) => Object.keys(update).length > 0)
    .map(([row, update, excluded]) =>
      items.insert(row as never).onConflict('id', 'update', { ...update, ...(excluded ? { text: undefined } : {}) } as never),
    ),
  fc
    .tuple(updates, wheres)
    .filter(([update]) => Object.keys(update).length > 0)
    .map(([update, where]) => restrict(items.update(update as never), where)),
  wheres.filter((where) => where.length > 0).map((where) => restrict(items.delete(), where)),
)

const all = items.orderBy('id', 'asc')

test('a query gives what it gives as a live query, whatever was asked before in the same form', () => {
  const { store, write } = open()
  const filled = fc.uniqueArray(inserts, { selector: ({ id }) => id, minLength: 4 })
  fc.assert(
    fc.property(filled, fc.array(queries, { minLength: 1, maxLength: 10 }), (rows, queries) => {
      write(items.delete(), ...rows.map((row) => items.insert(row as never)))
      for (const query of queries) expect(store.query(query), query.toString()).toEqual(store.query(queryDb(query)))
    }),
    { numRuns: 200 },
  )
})

test('a materializer reads what the app reads', () => {
  const { store, run, write } = open()
  write(...['a', 'b', 'c'].map((id, rank) => items.insert({ id, rank, text: id === 'b' ? null : id, tags: ['red'] })))
  const read = (query: unknown) => {
    let rows: unknown
    run((context) => {
      rows = context.query(query)
    })
    return rows
  }
  fc.assert(
    fc.property(queries, (query) => {
      expect(read(query), query.toString()).toEqual(store.query(query))
    }),
    { numRuns: 200 },
  )
  const query = 'SELECT id FROM items WHERE rank = $rank OR text = $text ORDER BY id'
  expect(read({ query, bindValues: { rank: 1, text: 'c' } })).toEqual([{ id: 'b' }, { id: 'c' }])
  expect(read({ query, bindValues: { rank: 2, text: 'a' } })).toEqual([{ id: 'a' }, { id: 'c' }])
})

test('a write does what its SQL does, whatever was written before in the same form', () => {
  const [built, raw] = [open(), open()]
  fc.assert(
    fc.property(fc.array(writes, { minLength: 1, maxLength: 5 }), (some) => {
      built.write(...some)
      raw.write(
        ...some.map((one) => {
          const { query, bindValues } = one.asSql()
          return { sql: query, bindValues }
        }),
      )
      expect(built.store.query(all)).toEqual(raw.store.query(all))
    }),
    { numRuns: 200 },
  )
})

test('what an insert does on a conflict takes the values that it needs', () => {
  const { store, write } = open()
  for (const action of ['ignore', 'replace'] as const) {
    const insert = items.insert({ id: 'a', text: action }).onConflict('id', action as 'update', { text: 'no' })
    expect(insert.asSql().bindValues).not.toContain('no')
    write(insert)
    write(insert)
  }
  expect(store.query(items.select('text'))).toEqual(['replace'])
})

test('nobody receives what a write of a materializer returns', () => {
  const { store, write } = open()
  for (const id of ['a', 'b']) write(items.insert({ id }).returning('id'), items.insert({ id: `${id}2` }))
  write(items.update({ rank: 1 }).where({ id: 'a' }).returning('id'), items.delete().where({ id: 'b' }).returning('id'))
  expect(store.query(items.select('id', 'rank').orderBy('id', 'asc'))).toEqual([
    { id: 'a', rank: 1 },
    { id: 'a2', rank: null },
    { id: 'b2', rank: null },
  ])
})

test("the session's id stands for itself in what is read and what is written", () => {
  const { store, write } = open()
  const mine = () => store.query(items.select('rank').where('id', 'IN', [SessionIdSymbol as never, 'a']).orderBy('rank', 'asc'))
  write(items.insert({ id: store.sessionId, rank: 0 }), items.insert({ id: 'a', rank: 9 }))
  expect(mine()).toEqual([0, 9])
  for (const rank of [1, 2]) {
    write(items.update({ rank }).where({ id: SessionIdSymbol as never }))
    expect(store.query(items.where({ id: SessionIdSymbol as never }).first())?.rank).toBe(rank)
  }
  expect(mine()).toEqual([2, 9])
})

test('columns can have the names of operators', () => {
  const odd = table({ name: 'odd', columns: { id: text({ primaryKey: true }), a: text({ nullable: true }), null: text(), LIKE: text(), NOT: text() } })
  const { store, write } = open({ odd })
  write(odd.insert({ id: '1', a: null, null: 'n', LIKE: 'l', NOT: 'o' }), odd.insert({ id: '2', a: 'a', null: 'n', LIKE: 'l', NOT: 'o' }))
  const one = odd.where({ a: null }).where('LIKE', 'NOT LIKE', 'x')
  const two = odd.where({ a: 'a' }).where('null', 'LIKE', 'n').where('NOT', 'LIKE', 'o')
  for (const query of [one, two, one]) expect(store.query(query)).toEqual(store.query(queryDb(query)))
  expect(store.query(two).map(({ id }) => id)).toEqual(['2'])
})

test('a table of the same name in another schema has other columns', () => {
  const other = table({ name: 'items', columns: { id: text({ primaryKey: true }), rank: text({ default: 'none' }) } })
  const [one, two] = [open(), open({ items: other })]
  one.write(items.insert({ id: 'a', rank: 1 }))
  two.write(other.insert({ id: 'a', rank: '1' }))
  expect(one.store.query(items.select('id', 'rank').where({ id: 'a' }))).toEqual([{ id: 'a', rank: 1 }])
  expect(two.store.query(other.select('id', 'rank').where({ id: 'a' }))).toEqual([{ id: 'a', rank: '1' }])
  expect(two.store.query(other.where({ id: 'a' }))).toEqual([{ id: 'a', rank: '1' }])
})

test('a materializer can write any number of texts, at once and one after the other', () => {
  const { store, write } = open()
  const insert = (at: number) => `INSERT INTO items (id, rank) VALUES ('${at}', ${at})`
  write(...Array.from({ length: 1200 }, (_, at) => insert(at)))
  expect(store.query(items.count())).toBe(1200)
  for (let at = 1200; at < 2300; at++) write(insert(at), `UPDATE items SET rank = ${-at} WHERE id = '0'`)
  expect(store.query(items.count())).toBe(2300)
  expect(store.query(items.select('rank').where({ id: '0' }).first())).toBe(-2299)
  write(...Array.from({ length: 1200 }, (_, at) => `DELETE FROM items WHERE id = '${at}'`))
  expect(store.query(items.count())).toBe(1100)
})

test('queries of any number of forms are answered', () => {
  const { store, write } = open()
  write(items.insert({ id: 'a' }))
  for (let at = 0; at < 600; at++) {
    const query = items.select('id').where({ id: 'a' }).offset(at).limit(at + 1)
    expect(store.query(query)).toEqual(at === 0 ? ['a'] : [])
  }
  const many = Array.from({ length: 2000 }, (_, at) => `${at}`)
  expect(store.query(items.where('id', 'IN', [...many, 'a']).count())).toBe(1)
})
