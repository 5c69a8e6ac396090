// A store of LiveStore 0.4.0 in Node and one of ours, on one server.

import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

import { makeInMemoryAdapter } from '@livestore-rs/adapter-web'
import { createStore, Events, makeSchema, Schema, State } from '@livestore-rs/livestore'
import { makeWsSync } from '@livestore-rs/sync-ws'
import { afterEach, expect, test, vi } from 'vitest'

import { newFolder, serve, start } from './processes.js'

const undone: Array<() => unknown> = []
afterEach(async () => {
  for (const undo of undone.splice(0).reverse()) await undo()
})

const folder = () => {
  const { path, remove } = newFolder()
  undone.push(remove)
  return path
}

// The schema of `tests/interop/peer.mjs`.
const events = {
  todoCreated: Events.synced({ name: 'v1.TodoCreated', schema: Schema.Struct({ id: Schema.String, text: Schema.String }) }),
  valueSaved: Events.synced({ name: 'v1.ValueSaved', schema: Schema.Struct({ id: Schema.String, value: Schema.JsonValue }) }),
  dateSaved: Events.synced({ name: 'v1.DateSaved', schema: Schema.Struct({ id: Schema.String, at: Schema.Date }) }),
}
const { text } = State.SQLite
const tables = {
  todos: State.SQLite.table({ name: 'todos', columns: { id: text({ primaryKey: true }), text: text({ default: '' }) } }),
  saved: State.SQLite.table({ name: 'saved', columns: { id: text({ primaryKey: true }), value: text() } }),
}
const materializers = State.SQLite.materializers(events, {
  'v1.TodoCreated': ({ id, text }) => tables.todos.insert({ id, text }),
  'v1.ValueSaved': ({ id, value }) => tables.saved.insert({ id, value: JSON.stringify(value) }),
  'v1.DateSaved': ({ id, at }) => tables.saved.insert({ id, value: JSON.stringify(at.toISOString()) }),
})
const schema = makeSchema({ events, state: State.SQLite.makeState({ tables, materializers }) })

test('a LiveStore 0.4.0 client and ours sync with each other', async () => {
  const server = await serve(folder())
  undone.push(server.stop)

  const adapter = makeInMemoryAdapter({ clientId: 'ours', sync: { backend: makeWsSync({ url: server.url }) } })
  const ours = createStore({ schema, adapter, storeId: 'both' })
  undone.push(() => ours.shutdown())

  const scripts = fileURLToPath(new URL('../../tests/interop/', import.meta.url))
  const options = { url: server.url, clientId: 'theirs', storeId: 'both', transport: 'ws', folder: folder() }
  const node = join(scripts, 'node_modules/.bin/node')
  const { answer, ask, stop } = start(node, [join(scripts, 'peer.mjs'), JSON.stringify(options)])
  undone.push(stop)
  expect(await answer()).toEqual({ ready: true })

  const at = new Date('2026-01-02T03:04:05.678Z')
  ours.commit(...['a', 'b', 'c'].map((id) => events.todoCreated({ id, text: `of ours ${id}` })), events.dateSaved({ id: 'date', at }))
  // What a LiveStore client commits while it rebases, it may keep to itself for ever: by turns, then.
  expect(await ask({ act: 'wait', rows: 4, ms: 20_000 })).toEqual({ rows: 4 })
  expect(await ask({ act: 'commit', prefix: 'theirs', from: 0, count: 10, batch: 5 })).toEqual({})
  expect(await ask({ act: 'save', id: 'value', value: { a: [1, 'ü', null], b: true } })).toEqual({})
  expect(await ask({ act: 'wait', rows: 15, ms: 20_000 })).toEqual({ rows: 15 })
  await vi.waitFor(() => expect(ours.syncStatus()).toMatchObject({ isSynced: true, confirmedHead: 15 }), { timeout: 20_000 })

  const byId = (left: string[], right: string[]) => (left[0]! < right[0]! ? -1 : 1)
  const state = [
    ours.query(tables.todos).map(({ id, text }) => [id, text]).sort(byId),
    ours.query(tables.saved).map(({ id, value }) => [id, value]).sort(byId),
  ]
  expect(JSON.parse((await ask({ act: 'state' })).state)).toEqual(state)
  expect(state[1]).toEqual([['date', JSON.stringify(at)], ['value', '{"a":[1,"ü",null],"b":true}']])
}, 60_000)
