// What the tests of the engine have in common.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterEach } from 'node:test'

const folder = process.env.LIVESTORE_ENGINE
assert.ok(folder, 'LIVESTORE_ENGINE names the folder with the engine')
export const { initSync, isStopped, stop, StoreHandle } = await import(`${folder}/livestore.js`)
initSync({ module: readFileSync(`${folder}/livestore_bg.wasm`) })

export const schema = {
  tables: [
    {
      name: 'todos',
      scope: 'synced',
      columns: [
        { name: 'id', type: 'text', primaryKey: true },
        { name: 'text', type: 'text', default: '' },
        { name: 'rank', type: 'integer', nullable: true },
        { name: 'picture', type: 'blob', nullable: true },
      ],
    },
  ],
  events: [
    { name: 'v1.TodoCreated', kind: 'synced' },
    { name: 'v1.TodoRanked', kind: 'synced' },
    { name: 'v1.Counted', kind: 'synced' },
    { name: 'v1.Thrown', kind: 'synced' },
  ],
  documents: [
    { name: 'ui', default: { filter: 'all', width: 200 }, bySession: true },
    { name: 'settings', default: { dark: false } },
  ],
}

/** A schema with a table that is found by its words. */
export const withNotes = {
  tables: [
    {
      name: 'notes',
      scope: 'synced',
      columns: [
        { name: 'id', type: 'integer', primaryKey: true },
        { name: 'text', type: 'text' },
      ],
      fullText: [{ name: 'notes_text', columns: ['text'], tokenizer: 'porter unicode61' }],
    },
  ],
  events: [{ name: 'v1.Noted', kind: 'synced' }],
}

const texts = []

/** A write as the engine takes it: the number of its text, by which it asks for that, and values. */
export const write = (text, ...values) => {
  if (!texts.includes(text)) texts.push(text)
  return [texts.indexOf(text), values]
}

/** Reads once. */
export const query = (store, description, ...values) => store.query(description, JSON.stringify(values))

/** Reads SQL. */
export const sql = (store, text, ...values) => query(store, JSON.stringify({ sql: { text } }), ...values)

const column = (name) => ({ column: { of: 'todos', name } })

/** What TypeScript does for the engine; computations are entered by number. */
export class Host {
  computations = new Map()

  materialize(name, args, _clientId, _sessionId, read) {
    const event = JSON.parse(args)
    switch (name) {
      case 'v1.TodoCreated': {
        const names = Object.keys(event)
        const text = `INSERT INTO todos (${names}) VALUES (${names.map(() => '?')})`
        return JSON.stringify([write(text, ...Object.values(event))])
      }
      case 'v1.TodoRanked':
        return JSON.stringify([write('UPDATE todos SET rank = ? WHERE id = ?', event.rank, event.id)])
      case 'v1.Counted': {
        const [[count]] = sql({ query: read }, 'SELECT count(*) FROM todos')
        return JSON.stringify([write('UPDATE todos SET text = ?', `one of ${count}`)])
      }
      default:
        throw new Error(`no idea what ${name} means`)
    }
  }

  statement(number) {
    return texts[number]
  }

  compute(id, read) {
    return this.computations.get(id)(read)
  }

  equal(left, right) {
    return JSON.stringify(left) === JSON.stringify(right)
  }

  define(compute) {
    this.computations.set(this.computations.size, compute)
    return this.computations.size - 1
  }
}

/** What is to be undone when a test is over. */
const undone = []
export const afterwards = (undo) => undone.push(undo)
afterEach(async () => {
  while (undone.length > 0) await undone.pop()()
})

/** Opens a store; what is given of the host takes the place of what that has. */
export function open(options = {}, ofHost = {}) {
  const host = Object.assign(new Host(), ofHost)
  const store = new StoreHandle(JSON.stringify({ storeId: 'test', clientId: 'ann', schema, ...options }), host)
  afterwards(() => store.shutdown())
  return { host, store }
}

/** A new folder. */
export function folderOfTest() {
  const path = mkdtempSync(join(tmpdir(), 'livestore-web-'))
  afterwards(() => rmSync(path, { recursive: true }))
  return path
}

/** Starts `livestore serve`. */
export async function serve(data, { listen = '127.0.0.1:0', tokens } = {}) {
  const words = ['serve', '--json', '--listen', listen, '--data', data]
  if (tokens) words.push('--tokens', tokens)
  const server = spawn(process.env.LIVESTORE_CLI, words, { stdio: ['ignore', 'pipe', 'inherit'] })
  const [line] = await once(createInterface({ input: server.stdout }), 'line')
  const { url } = JSON.parse(line)
  const stop = async () => {
    if (server.exitCode !== null || server.signalCode !== null) return
    server.kill('SIGTERM')
    await once(server, 'exit')
  }
  afterwards(stop)
  return { url, listen: new URL(url).host, stop }
}

/** Waits until the sync status is as it should be. */
export function until(store, isSo) {
  return new Promise((resolve, reject) => {
    let last
    let isOver = false
    const timer = setTimeout(() => reject(new Error(`it took too long: ${last}`)), 20_000)
    const subscription = store.subscribeSyncStatus((json) => {
      last = json
      const status = JSON.parse(json)
      if (isOver || !isSo(status)) return
      isOver = true
      clearTimeout(timer)
      resolve(status)
      // The first call comes before there is a subscription.
      setTimeout(() => subscription.free())
    })
  })
}
export const synced = (store) => until(store, (status) => status.isSynced)
export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

export const commit = (store, ...events) =>
  store.commit(events.flatMap(([name, args]) => [name, JSON.stringify(args)]))
export const created = (id, more = {}) => ['v1.TodoCreated', { id, ...more }]
export const all = JSON.stringify({
  select: { from: { table: 'todos' }, columns: [{ expr: column('id') }, { expr: column('rank') }] },
})
export const tagOf = (run) => {
  try {
    run()
  } catch (error) {
    assert.ok(error instanceof Error)
    return [error._tag, error.event]
  }
  return undefined
}
