import { defineEvent, Events, Schema } from '@livestore/livestore'
import { expect, test } from 'vitest'

import { different } from './different.js'
import { created, events, failsSilently, ids, open, tables, thrown } from './support.js'

const moved = Events.synced({
  name: 'v1.Moved',
  schema: Schema.Struct({ id: Schema.String, at: Schema.Date, by: Schema.optional(Schema.String) }),
})

test('calling a definition makes an event of its name and arguments', () => {
  expect(moved({ id: 'a', at: new Date(0) })).toEqual({ name: 'v1.Moved', args: { id: 'a', at: new Date(0) } })
})

test('calling a definition checks the arguments as the app has them', () => {
  expect(thrown(() => moved({ id: 5, at: new Date(0) } as never))).toMatch(/Invalid event args for event 'v1\.Moved'/)
  expect(thrown(() => moved({ id: 'a', at: '1970-01-01T00:00:00.000Z' } as never))).toMatch(/v1\.Moved/)
  expect(thrown(() => moved({ at: new Date(0) } as never))).toMatch(/v1\.Moved/)
})

test('encoded() takes arguments as they are stored, and checks nothing', () => {
  const at = '1970-01-01T00:00:00.000Z'
  expect(moved.encoded({ id: 'a', at })).toEqual({ name: 'v1.Moved', args: { id: 'a', at } })
  expect(moved.encoded({ id: 5 } as never)).toEqual({ name: 'v1.Moved', args: { id: 5 } })
})

test('a definition has its name, its schema and its options', () => {
  expect(moved.name).toBe('v1.Moved')
  expect(Schema.encodeSync(moved.schema as any)({ id: 'a', at: new Date(0) })).toEqual({ id: 'a', at: '1970-01-01T00:00:00.000Z' })
  expect(moved.options).toMatchObject({ clientOnly: false, derived: false })
  expect(moved.options.deprecated).toBeUndefined()
})

test('clientOnly, synced and defineEvent differ in one option', () => {
  const schema = Schema.Void
  expect(Events.clientOnly({ name: 'a', schema }).options.clientOnly).toBe(true)
  expect(Events.synced({ name: 'a', schema }).options.clientOnly).toBe(false)
  expect(defineEvent({ name: 'a', schema }).options.clientOnly).toBe(false)
  expect(defineEvent({ name: 'a', schema, clientOnly: true }).options.clientOnly).toBe(true)
  expect(Events.defineEvent).toBe(defineEvent)
})

test('the reason of a deprecation is among the options', () => {
  expect(Events.synced({ name: 'a', schema: Schema.Void, deprecated: 'use b' }).options.deprecated).toBe('use b')
})

test('an event without arguments takes none', async () => {
  const cleared = Events.synced({ name: 'v1.Cleared', schema: Schema.Void })
  expect(cleared(undefined)).toEqual({ name: 'v1.Cleared', args: undefined })
  const store = await open({ events: { cleared }, materializers: { 'v1.Cleared': () => tables.todos.delete() } })
  store.commit(created('a'))
  store.commit(cleared(undefined))
  expect(ids(store, tables.todos)).toBe('')
})

test('a materializer has the arguments as the app has them, whatever is stored', async () => {
  class Point extends Schema.Class<Point>('Point')({ x: Schema.NumberFromString }) {}
  const placed = Events.synced({
    name: 'v1.Placed',
    schema: Schema.Struct({ at: Point, name: Schema.optionalWith(Schema.String, { default: () => 'nobody' }) }),
  })
  const seen: any[] = []
  const materializers = { 'v1.Placed': (args: unknown) => (seen.push(args), []) }
  const store = await open({ events: { placed }, materializers })
  store.commit(placed({ at: new Point({ x: 5 }), name: 'ann' }))
  expect(seen[0]).toEqual({ at: { x: 5 }, name: 'ann' })
  expect(seen[0].at).toBeInstanceOf(Point)
})

test('an event can be written as an object', async () => {
  const store = await open()
  store.commit({ name: 'v1.Created', args: { id: 'a', due: new Date(5) } })
  expect(store.query(tables.todos.select('id', 'due'))).toEqual([{ id: 'a', due: new Date(5) }])
})

different('errors-have-tags-and-reasons', {
  livestore: () => {
    expect(() => moved({ id: 5 } as never)).toThrow(/^This should never happen: Invalid event args for event 'v1\.Moved':\s*$/)
  },
  ours: () => {
    let error: any
    try {
      moved({ id: 5, at: new Date(0) } as never)
    } catch (thrown) {
      error = thrown
    }
    expect(error).toMatchObject({ _tag: 'PayloadError', event: 'v1.Moved' })
    expect(error.message).toMatch(/Expected string, actual 5/)
  },
})

const excess = () => moved({ id: 'a', at: new Date(0), more: 1 } as never).args
different('excess-arguments', {
  livestore: () => {
    expect(excess()).toEqual({ id: 'a', at: new Date(0), more: 1 })
  },
  ours: () => {
    expect(excess()).toEqual({ id: 'a', at: new Date(0) })
  },
})

const encoded = events.created.encoded({ id: 'a', due: '1970-01-01T00:00:00.005Z' })
different('encoded-events-can-be-committed', {
  livestore: async () => {
    const store = await open()
    expect(await failsSilently(store, () => store.commit(encoded))).toBe(true)
  },
  ours: async () => {
    const store = await open()
    store.commit(encoded)
    expect(store.query(tables.todos.select('due'))).toEqual([new Date(5)])
  },
})

const withFacts = () =>
  Events.synced({ name: 'a', schema: Schema.Void, facts: () => ({ modify: { set: [], unset: [] }, require: [] }) } as any).options
different('facts', {
  livestore: () => {
    expect(typeof withFacts().facts).toBe('function')
  },
  ours: () => {
    expect(withFacts().facts).toBeUndefined()
  },
})
