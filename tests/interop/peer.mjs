// A store of LiveStore's own, told by lines of JSON what to do. The peer in Rust does the same.

import { createInterface } from 'node:readline'

import { makeAdapter } from '@livestore/adapter-node'
import { createStorePromise, Events, makeSchema, queryDb, Schema, State } from '@livestore/livestore'
import { makeHttpSync, makeWsSync } from '@livestore/sync-cf/client'

const options = JSON.parse(process.argv[2])

const events = {
  todoCreated: Events.synced({
    name: 'v1.TodoCreated',
    schema: Schema.Struct({ id: Schema.String, text: Schema.String }),
  }),
  valueSaved: Events.synced({
    name: 'v1.ValueSaved',
    schema: Schema.Struct({ id: Schema.String, value: Schema.JsonValue }),
  }),
  dateSaved: Events.synced({
    name: 'v1.DateSaved',
    schema: Schema.Struct({ id: Schema.String, at: Schema.Date }),
  }),
  draftKept: Events.clientOnly({
    name: 'DraftKept',
    schema: Schema.Struct({ id: Schema.String }),
  }),
  pinged: Events.synced({ name: 'v1.Pinged', schema: Schema.Void }),
}
const { text } = State.SQLite
const tables = {
  todos: State.SQLite.table({
    name: 'todos',
    columns: { id: text({ primaryKey: true }), text: text({ default: '' }) },
  }),
  // What events have brought, as JSON with sorted keys.
  saved: State.SQLite.table({ name: 'saved', columns: { id: text({ primaryKey: true }), value: text() } }),
}

const sorted = (value) => {
  if (Array.isArray(value)) return value.map(sorted)
  if (value === null || typeof value !== 'object') return value
  return Object.fromEntries(Object.keys(value).sort().map((key) => [key, sorted(value[key])]))
}

const materializers = State.SQLite.materializers(events, {
  'v1.TodoCreated': ({ id, text }) => tables.todos.insert({ id, text }),
  'v1.ValueSaved': ({ id, value }) => tables.saved.insert({ id, value: JSON.stringify(sorted(value)) }),
  'v1.DateSaved': ({ id, at }) => tables.saved.insert({ id, value: JSON.stringify(at.toISOString()) }),
  DraftKept: () => [],
  'v1.Pinged': () => [],
})
const schema = makeSchema({ events, state: State.SQLite.makeState({ tables, materializers }) })

const { url, clientId, storeId, transport, folder, token } = options
const backend =
  transport === 'http' ? makeHttpSync({ url, livePull: { pollInterval: 300 } }) : makeWsSync({ url })
const store = await createStorePromise({
  schema,
  adapter: makeAdapter({ storage: { type: 'fs', baseDirectory: folder }, clientId, sync: { backend } }),
  storeId,
  disableDevtools: true,
  ...(token === undefined ? {} : { syncPayload: { authToken: token } }),
})

const pause = (ms) => new Promise((done) => setTimeout(done, ms))
const say = (message) => process.stdout.write(`${JSON.stringify(message)}\n`)
const count = () =>
  store.query(queryDb(tables.todos)).length + store.query(queryDb(tables.saved)).length

const acts = {
  async commit({ prefix, from, count, batch }) {
    for (let next = from; next < from + count; next += batch) {
      const numbers = Array.from({ length: Math.min(batch, from + count - next) }, (_, nth) => next + nth)
      store.commit(...numbers.map((number) => events.todoCreated({ id: `${prefix}-${number}`, text: `text ${number}` })))
      // The store syncs while nobody keeps its thread busy.
      await pause(batch > 1 ? 5 : 0)
    }
    return {}
  },
  async save({ id, value }) {
    store.commit(events.valueSaved({ id, value }))
    return {}
  },
  async saveDate({ id, ms }) {
    store.commit(events.dateSaved({ id, at: new Date(ms) }))
    return {}
  },
  async ping() {
    store.commit(events.pinged())
    return {}
  },
  async draft({ id }) {
    store.commit(events.draftKept({ id }))
    return {}
  },
  async wait({ rows, ms }) {
    const deadline = Date.now() + ms
    while (count() < rows && Date.now() < deadline) await pause(20)
    return { rows: count() }
  },
  async state() {
    const todos = store.query(queryDb(tables.todos)).map(({ id, text }) => [id, text])
    const saved = store.query(queryDb(tables.saved)).map(({ id, value }) => [id, value])
    const order = (a, b) => (a[0] < b[0] ? -1 : 1)
    return { state: JSON.stringify([todos.sort(order), saved.sort(order)]) }
  },
}

say({ ready: true })
for await (const line of createInterface({ input: process.stdin })) {
  const { act, ...args } = JSON.parse(line)
  if (act === 'quit') break
  try {
    say(await acts[act](args))
  } catch (error) {
    say({ error: String(error?.stack ?? error) })
  }
}
await Promise.race([store.shutdownPromise(), pause(2000)])
process.exit(0)
