import { makeInMemoryAdapter } from '@livestore-rs/adapter-web'
import { createStore, Events, makeSchema, State } from '@livestore-rs/livestore'
import { type } from 'arktype'
import * as v from 'valibot'
import { expect, test } from 'vitest'
import * as z from 'zod'

const events = {
  zod: Events.synced({
    name: 'v1.Zod',
    schema: z.object({ id: z.string(), rank: z.number().default(7), due: z.coerce.date().optional() }),
  }),
  valibot: Events.synced({ name: 'v1.Valibot', schema: v.object({ id: v.string(), rank: v.optional(v.number(), 8) }) }),
  arktype: Events.synced({ name: 'v1.Arktype', schema: type({ id: 'string', rank: 'number = 9' }) }),
  lossy: Events.synced({ name: 'v1.Lossy', schema: z.object({ id: z.string().transform((id) => id.length) }) }),
  date: Events.synced({ name: 'v1.Date', schema: z.object({ at: z.date() }) }),
}
const tables = {
  things: State.SQLite.table({
    name: 'things',
    columns: {
      id: State.SQLite.text({ primaryKey: true }),
      rank: State.SQLite.integer({ schema: z.number().min(0) }),
      due: State.SQLite.datetime({ nullable: true }),
      more: State.SQLite.json({ schema: z.object({ a: z.number() }), default: { a: 1 } }),
    },
  }),
  settings: State.SQLite.clientDocument({
    name: 'settings',
    schema: z.object({ dark: z.boolean(), size: z.number() }),
    default: { id: 'mine', value: { dark: false, size: 10 } },
  }),
}
const insert = ({ id, rank, due }: { id: string; rank: number; due?: Date | undefined }) =>
  tables.things.insert({ id, rank, due: due ?? null })
const materializers = State.SQLite.materializers(events, {
  'v1.Zod': insert,
  'v1.Valibot': insert,
  'v1.Arktype': insert,
  'v1.Lossy': () => [],
  'v1.Date': () => [],
})
const schema = makeSchema({ events, state: State.SQLite.makeState({ tables, materializers }) })
const open = () => createStore({ schema, adapter: makeInMemoryAdapter(), storeId: 'standard' })

test('events and columns are checked by zod, valibot and arktype alike', () => {
  const store = open()
  store.commit(events.zod({ id: 'a', due: new Date(5) }), events.valibot({ id: 'b' }), events.arktype({ id: 'c' }))
  expect(store.query(tables.things.select('id', 'rank', 'due').orderBy('id', 'asc'))).toEqual([
    { id: 'a', rank: 7, due: new Date(5) },
    { id: 'b', rank: 8, due: null },
    { id: 'c', rank: 9, due: null },
  ])
  expect(() => events.zod({ id: 1 } as never)).toThrow(/v1\.Zod.*id: /)
  expect(() => store.commit(events.zod({ id: 'x', rank: -1 }))).toThrow(/things\.rank/)
  expect(store.query(tables.things.select('more').first())).toEqual({ a: 1 })
})

test('a schema that could not read what it has made is refused when it is used', () => {
  const store = open()
  expect(() => store.commit(events.lossy({ id: 'abc' }))).toThrow(/v1\.Lossy.*does not accept what is to be stored/)
  expect(() => store.commit(events.date({ at: new Date(5) }))).toThrow(/v1\.Date.*a date, say, needs one that takes texts/)
})

test('a client document of zod takes some fields', () => {
  const store = open()
  store.commit(tables.settings.set({ dark: true }))
  expect(store.query(tables.settings.get())).toEqual({ dark: true, size: 10 })
  expect(() => tables.settings.set({ size: 'big' as never })).toThrow(/settingsSet.*size/)
})

test('the fields of a value may be in another order than those of its schema', () => {
  const pairs = {
    zod: z.object({ a: z.number(), b: z.number() }),
    valibot: v.object({ a: v.number(), b: v.number() }),
    arktype: type({ a: 'number', b: 'number' }),
  }
  for (const [name, schema] of Object.entries(pairs)) {
    const pair = State.SQLite.clientDocument({ name: 'pair', schema, default: { id: 'mine', value: { b: 1, a: 2 } } })
    const rows = State.SQLite.table({
      name: 'rows',
      columns: { id: State.SQLite.text({ primaryKey: true }), pairs: State.SQLite.json({ schema: z.array(pairs.zod) }) },
    })
    const added = Events.synced({ name: 'v1.Added', schema })
    const write = (pair: { a: number; b: number }) => rows.insert({ id: name, pairs: [{ b: pair.b, a: pair.a }] })
    const state = State.SQLite.makeState({
      tables: { pair, rows },
      materializers: State.SQLite.materializers({ added }, { 'v1.Added': write }),
    })
    const store = createStore({ schema: makeSchema({ events: { added }, state }), adapter: makeInMemoryAdapter(), storeId: name })
    store.commit(pair.set({ b: 3 }), { name: 'v1.Added', args: { b: 5, a: 4 } })
    expect(store.query(pair.get())).toEqual({ a: 2, b: 3 })
    expect(store.query(rows.first())?.pairs).toEqual([{ a: 4, b: 5 }])
  }
})
