// What the engine does for TypeScript, in Node: `cargo xtask web --test`.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'

const folder = process.env.LIVESTORE_ENGINE
assert.ok(folder, 'LIVESTORE_ENGINE names the folder with the engine')
const { initSync, StoreHandle } = await import(`${folder}/livestore.js`)
initSync({ module: readFileSync(`${folder}/livestore_bg.wasm`) })

const schema = {
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
}

const column = (name) => ({ column: { of: 'todos', name } })

/** What TypeScript does for the engine; computations are entered by number. */
class Host {
  computations = new Map()

  materialize(name, args, _clientId, _sessionId, query) {
    const event = JSON.parse(args)
    switch (name) {
      case 'v1.TodoCreated': {
        const values = Object.entries(event).map(([name, value]) => ({ column: name, value: { value } }))
        return JSON.stringify([{ insert: { table: 'todos', values } }])
      }
      case 'v1.TodoRanked':
        return JSON.stringify([{ sql: 'UPDATE todos SET rank = ? WHERE id = ?', binds: [event.rank, event.id] }])
      case 'v1.Counted': {
        const [[count]] = query(JSON.stringify({ sql: { text: 'SELECT count(*) FROM todos', binds: [] } }))
        return JSON.stringify([{ sql: 'UPDATE todos SET text = ?', binds: [`one of ${count}`] }])
      }
      default:
        throw new Error(`no idea what ${name} means`)
    }
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

function open() {
  const host = new Host()
  const store = new StoreHandle(JSON.stringify({ storeId: 'test', clientId: 'ann', schema }), host)
  return { host, store }
}

const commit = (store, ...events) =>
  store.commit(events.flatMap(([name, args]) => [name, JSON.stringify(args)]))
const created = (id, more = {}) => ['v1.TodoCreated', { id, ...more }]
const all = JSON.stringify({
  select: { from: { table: 'todos' }, columns: [{ expr: column('id') }, { expr: column('rank') }] },
})
const tagOf = (run) => {
  try {
    run()
  } catch (error) {
    assert.ok(error instanceof Error)
    return [error._tag, error.event]
  }
  return undefined
}

test('what is committed is read, with values as JavaScript has them', () => {
  const { store } = open()
  assert.equal(store.clientId, 'ann')
  commit(store, created('a', { rank: 1, picture: { blob: '00ff' } }), created('b'))
  commit(store, created('c', { rank: { integer: '9007199254740993' } }))
  commit(store, created('x', { rank: 2 ** 53 + 2 }))
  const sql = { sql: { text: 'SELECT id, rank, picture, 0.5 FROM todos WHERE id <> ? ORDER BY id', binds: ['x'] } }
  assert.deepEqual(store.query(JSON.stringify(sql)), [
    ['a', 1, new Uint8Array([0, 255]), 0.5],
    ['b', null, null, 0.5],
    ['c', 9007199254740993n, null, 0.5],
  ])
})

test('a materializer reads the state before its event', () => {
  const { store } = open()
  commit(store, created('a'), created('b'), ['v1.Counted', null])
  const texts = store.query(JSON.stringify({ sql: { text: 'SELECT text FROM todos', binds: [] } }))
  assert.deepEqual(texts, [['one of 2'], ['one of 2']])
})

test('what fails changes nothing and says what it was', () => {
  const { store } = open()
  assert.deepEqual(tagOf(() => commit(store, created('a'), ['v1.Thrown', {}])), ['MaterializeError', 'v1.Thrown'])
  assert.deepEqual(tagOf(() => commit(store, ['v1.Unheard', {}])), ['UnknownEventError', 'v1.Unheard'])
  assert.deepEqual(tagOf(() => store.commit(['v1.TodoCreated', '{'])), ['PayloadError', undefined])
  assert.deepEqual(tagOf(() => store.commit(['v1.TodoCreated'])), ['PayloadError', undefined])
  assert.deepEqual(tagOf(() => store.query(JSON.stringify({ sql: { text: 'DELETE FROM todos', binds: [] } }))), [
    'SqliteError',
    undefined,
  ])
  assert.deepEqual(tagOf(() => store.query('{"select": {"from": {"table": "nothing"}}}')), ['QueryError', undefined])
  assert.deepEqual(store.query(all), [])
  commit(store, created('a'))
  assert.equal(store.query(all).length, 1)
})

test('live rows are told by steps, each row once', () => {
  const { store } = open()
  commit(store, created('b', { rank: 2 }))
  const live = store.liveQuery(all, 'all')
  let calls = 0
  const subscription = live.subscribe(() => calls++)
  assert.equal(calls, 1)
  assert.deepEqual(live.take(), [0, 0, ['b', 2]])
  assert.equal(live.take(), undefined)
  commit(store, created('a'), ['v1.TodoRanked', { id: 'b', rank: 3 }])
  assert.equal(calls, 2)
  const list = [['b', 2]]
  for (const steps = live.take(); steps.length > 0; ) {
    const [kind, at] = steps.splice(0, 2)
    if (kind === 0) list.splice(at, 0, steps.shift())
    else if (kind === 1) list.splice(at, 1)
    else if (kind === 2) list.splice(steps.shift(), 0, list.splice(at, 1)[0])
    else list[at] = steps.shift()
  }
  assert.deepEqual(list, [['a', null], ['b', 3]])
  commit(store, ['v1.TodoRanked', { id: 'b', rank: 3 }])
  assert.equal(calls, 2, 'nothing has changed')
  assert.match(live.explain(), /maintained row by row/)
  subscription.free()
  commit(store, created('c'))
  assert.equal(calls, 2)
})

test('values are computed of signals and queries, and equal ones are no news', () => {
  const { host, store } = open()
  const rows = store.liveQuery(all)
  const least = store.liveSignal(0)
  let runs = 0
  const counted = store.liveComputed(
    host.define((read) => {
      runs++
      read(rows.id)
      return { many: store.query(all).length > read(least.id) }
    }),
    'counted',
  )
  const seen = []
  const subscription = counted.subscribe(() => seen.push(counted.value().many))
  commit(store, created('a'))
  commit(store, created('b'))
  least.set(5)
  assert.deepEqual(seen, [false, true, false])
  assert.equal(runs, 4)
  const failing = store.liveComputed(host.define(() => { throw new TypeError('no') }))
  assert.throws(() => failing.value(), TypeError)
  subscription.free()
})

test('a query can be chosen by what it reads', () => {
  const { host, store } = open()
  commit(store, created('a', { rank: 1 }), created('b', { rank: 2 }))
  const rank = store.liveSignal(1)
  const chosen = store.liveChoice(
    host.define((read) =>
      JSON.stringify({ sql: { text: 'SELECT id FROM todos WHERE rank = ?', binds: [read(rank.id)] } }),
    ),
  )
  assert.deepEqual(chosen.take(), [0, 0, ['a']])
  rank.set(2)
  assert.deepEqual(chosen.take(), [3, 0, ['b']])
})

test('what is freed can be computed of no more', () => {
  const { host, store } = open()
  const rows = store.liveQuery(all)
  const { id } = rows
  const reading = () => store.liveComputed(host.define((read) => (read(id), 'read')))
  assert.equal(reading().value(), 'read')
  rows.free()
  assert.deepEqual(tagOf(() => reading().value()), ['QueryError', undefined])
})

test('a batch is told once', () => {
  const { store } = open()
  const live = store.liveQuery(all)
  let calls = 0
  const subscription = live.subscribe(() => calls++)
  store.batch(() => {
    commit(store, created('a'))
    commit(store, created('b'))
    assert.equal(calls, 1)
  })
  assert.equal(calls, 2)
  subscription.free()
})

test('receipts tell how safe a commit is, and that nobody confirms it', async () => {
  const { store } = open()
  const receipt = commit(store, created('a'))
  assert.match(receipt.groupId, /^[0-9a-f-]{36}$/)
  assert.equal(await receipt.persisted(), 'memory')
  await assert.rejects(receipt.confirmed(), { _tag: 'NoBackend' })
})

test('a store that is closed says so', () => {
  const { store } = open()
  const live = store.liveQuery(all)
  const subscription = live.subscribe(() => {})
  store.shutdown()
  assert.deepEqual(tagOf(() => store.query(all)), ['StoreClosed', undefined])
  assert.deepEqual(tagOf(() => commit(store, created('a'))), ['StoreClosed', undefined])
  subscription.free()
})
