import { Events, isLiveStoreSchema, makeSchema, Schema, State } from '@livestore/livestore'
import { expect, test } from 'vitest'

import { different } from './different.js'
import { open, tables, thrown } from './support.js'

const { makeState, materializers, table, text } = State.SQLite

const event = Events.synced({ name: 'v1.A', schema: Schema.Struct({ id: Schema.String }) })
const state = makeState({ tables, materializers: { 'v1.A': () => [] } })

test('a schema is made of events and a state', () => {
  const schema = makeSchema({ events: { event }, state })
  expect([...schema.eventsDefsMap.keys()]).toEqual(expect.arrayContaining(['v1.A', 'uiSet']))
  expect(schema.state.materializers.has('v1.A')).toBe(true)
  expect(schema.devtools).toEqual({ alias: 'default' })
  expect(schema.unknownEventHandling).toEqual({ strategy: 'warn' })
})

test('events and tables may be lists', () => {
  const listed = makeState({ tables: [tables.todos, tables.notes], materializers: { 'v1.A': () => [] } })
  expect([...listed.sqlite.tables.keys()]).toEqual(expect.arrayContaining(['todos', 'notes']))
  expect([...makeSchema({ events: [event], state: listed }).eventsDefsMap.keys()]).toEqual(['v1.A'])
})

test('the keys of a record do not matter, names do', () => {
  expect([...makeSchema({ events: { anything: event }, state }).eventsDefsMap.keys()]).toContain('v1.A')
})

test('what is done about unknown events and the name in the devtools can be given', () => {
  const schema = makeSchema({ events: { event }, state, unknownEventHandling: { strategy: 'ignore' }, devtools: { alias: 'x' } })
  expect(schema.unknownEventHandling).toEqual({ strategy: 'ignore' })
  expect(schema.devtools).toEqual({ alias: 'x' })
})

test('two tables with one name are refused', () => {
  for (const given of [[tables.todos, tables.todos], { a: tables.todos, b: tables.todos }]) {
    expect(thrown(() => makeState({ tables: given as never, materializers: {} }))).toMatch(/Duplicate table name: todos/)
  }
})

test('two events with one name are refused', () => {
  expect(thrown(() => makeSchema({ events: { a: event, b: event }, state }))).toMatch(/Duplicate event name: v1\.A/)
})

test('materializers() returns what it is given', () => {
  const given = { 'v1.A': () => [] }
  expect(materializers({ event }, given)).toBe(given)
})

test('defineMaterializer() returns what it is given', () => {
  const materializer = () => []
  expect(State.SQLite.defineMaterializer(event, materializer)).toBe(materializer)
})

test('isLiveStoreSchema() knows schemas', () => {
  expect(isLiveStoreSchema(makeSchema({ events: { event }, state }))).toBe(true)
  for (const other of [{}, null, undefined, 'schema']) expect(isLiveStoreSchema(other)).toBe(false)
})

test('a schema may have no events and no tables', async () => {
  const empty = makeSchema({ events: {}, state: makeState({ tables: {}, materializers: {} }) })
  const store = await open({ options: { schema: empty } })
  expect(store.query({ query: 'SELECT 1 AS one', bindValues: [] })).toEqual([{ one: 1 }])
})

const other = Events.synced({ name: 'v1.A', schema: Schema.Struct({ rank: Schema.Number }) })
different('duplicate-events-in-a-list', {
  livestore: () => {
    expect(makeSchema({ events: [event, other], state }).eventsDefsMap.get('v1.A')).toBe(other)
  },
  ours: () => {
    expect(thrown(() => makeSchema({ events: [event, other], state }))).toMatch(/Duplicate event name: v1\.A/)
  },
})

const mistakes: Array<[() => unknown, RegExp]> = [
  [() => Events.synced({ name: '', schema: Schema.Void }), /an event needs a name/],
  [() => table({ name: 'empty', columns: {} }), /the table empty has no columns/],
  [() => makeSchema({ events: {}, state }), /a materializer of v1\.A, which is no event/],
]
different('schema-mistakes-are-told', {
  livestore: () => {
    for (const [mistake] of mistakes) expect(thrown(mistake)).toBe('')
  },
  ours: () => {
    for (const [mistake, reason] of mistakes) expect(thrown(mistake)).toMatch(reason)
  },
})

const forgotten = Events.synced({ name: 'v1.Forgotten', schema: Schema.Struct({}) })
different('events-without-a-materializer', {
  livestore: async () => {
    const store = await open({ events: { forgotten } })
    store.commit(forgotten({}))
    expect(store.syncStatus().localHead).toBe('e1')
  },
  ours: async () => {
    const store = await open({ events: { forgotten } })
    expect(thrown(() => store.commit(forgotten({})))).toMatch(/v1\.Forgotten has no materializer/)
    expect(store.syncStatus().localHead).toBe('e0')
  },
})

const named = () => [...makeState({ tables: [table({ name: 'a', columns: { id: text({ primaryKey: true }) } })], materializers: {} }).sqlite.tables.keys()]
different('system-tables', {
  livestore: () => {
    expect(named()).toEqual(expect.arrayContaining(['a', '__livestore_schema']))
  },
  ours: () => {
    expect(named()).toEqual(['a'])
  },
})
