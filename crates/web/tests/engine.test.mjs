// What the engine does for TypeScript, in Node: `cargo xtask web --test`.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Host, StoreHandle, all, commit, created, open, query, schema, sql, tagOf, withNotes } from './support.mjs'

test('what is committed is read, with values as JavaScript has them', () => {
  const { store } = open()
  assert.equal(store.clientId, 'ann')
  commit(store, created('a', { rank: 1, picture: { blob: '00ff' } }), created('b'))
  commit(store, created('c', { rank: { integer: '9007199254740993' } }))
  commit(store, created('x', { rank: 2 ** 53 + 2 }))
  const rows = sql(store, 'SELECT id, rank, picture, 0.5 FROM todos WHERE id <> ? ORDER BY id', 'x')
  assert.deepEqual(rows.columns, ['id', 'rank', 'picture', '0.5'])
  assert.deepEqual([...rows], [
    ['a', 1, new Uint8Array([0, 255]), 0.5],
    ['b', null, null, 0.5],
    ['c', 9007199254740993n, null, 0.5],
  ])
})

test('texts and numbers of all kinds come as they are, whatever stands beside them', () => {
  const { store } = open()
  const texts = ['', 'a', 'ü', '𝄞 and 👩‍👩‍👧', 'a\0b', '\ufeff', '\r\n', 'x'.repeat(1024), 'é'.repeat(600), 'long '.repeat(300)]
  const ranks = [0, -0, 2 ** 53 - 1, { integer: '9007199254740992' }, { integer: '-9223372036854775808' }, -1, null]
  const rows = texts.map((text, at) => [`id ${at}`, text, ranks[at % ranks.length], at % 3 === 0 ? new Uint8Array(at) : null])
  const hex = (bytes) => bytes && { blob: '00'.repeat(bytes.length) }
  commit(store, ...rows.map(([id, text, rank, picture]) => created(id, { text, rank, picture: hex(picture) })))
  const stored = (rank) => (rank?.integer === undefined ? rank || (rank === null ? null : 0) : BigInt(rank.integer))
  const expected = rows.map(([id, text, rank, picture]) => [id, text, stored(rank), picture])
  const read = (text) => [...sql(store, text)]
  assert.deepEqual(read('SELECT id, text, rank, picture FROM todos ORDER BY id'), expected)
  assert.deepEqual(read('SELECT 1e300, -1e-300, 9e999, 0.1'), [[1e300, -1e-300, Infinity, 0.1]])
  assert.deepEqual(read('SELECT 1 WHERE 0'), [])
})

test('a session can be chosen', () => {
  const { store } = open({ sessionId: 'static' })
  assert.equal(store.sessionId, 'static')
  assert.notEqual(open().store.sessionId, open().store.sessionId)
  assert.deepEqual(tagOf(() => open({ sessionId: '' })), ['OpenError', undefined])
})

test('a materializer reads the state before its event', () => {
  const { store } = open()
  commit(store, created('a'), created('b'), ['v1.Counted', null])
  const texts = [...sql(store, 'SELECT text FROM todos')]
  assert.deepEqual(texts, [['one of 2'], ['one of 2']])
})

test('what fails changes nothing and says what it was', () => {
  const { store } = open()
  assert.deepEqual(tagOf(() => commit(store, created('a'), ['v1.Thrown', {}])), ['MaterializeError', 'v1.Thrown'])
  assert.deepEqual(tagOf(() => commit(store, ['v1.Unheard', {}])), ['UnknownEventError', 'v1.Unheard'])
  assert.deepEqual(tagOf(() => store.commit(['v1.TodoCreated', '{'])), ['PayloadError', undefined])
  assert.deepEqual(tagOf(() => store.commit(['v1.TodoCreated'])), ['PayloadError', undefined])
  assert.deepEqual(tagOf(() => sql(store, 'DELETE FROM todos')), [
    'SqliteError',
    undefined,
  ])
  assert.deepEqual(tagOf(() => query(store, '{"select": {"from": {"table": "nothing"}}}')), ['QueryError', undefined])
  assert.deepEqual(query(store, all), [])
  commit(store, created('a'))
  assert.equal(query(store, all).length, 1)
})

test('a selection takes values that come apart from it', () => {
  const { store } = open()
  commit(store, created('a', { rank: 1 }), created('b', { rank: 2 }), created('c', { rank: 3 }))
  const id = { column: { name: 'id' } }
  const filter = { in: { expr: id, list: [{ value: '1' }, { value: null }, { value: '0' }] } }
  const select = { from: { table: 'todos' }, columns: [{ expr: id }], filter, limit: 2 }
  const description = JSON.stringify({ select })
  const read = (values) => [...store.query(description, JSON.stringify(values))]
  assert.deepEqual(read(['a', 'c']), [['a'], ['c']])
  assert.deepEqual(read(['0', { integer: '1' }]), [])
  assert.deepEqual(read(['b', "x' OR 1"]), [['b']])
  assert.deepEqual(tagOf(() => read(['a'])), ['QueryError', undefined])
  assert.deepEqual(tagOf(() => store.query(description, '{')), ['QueryError', undefined])
  const inIt = JSON.stringify({ select: { ...select, filter: { in: { expr: id, list: [{ value: 'a' }] } } } })
  assert.deepEqual(tagOf(() => store.query(inIt, '[]')), ['QueryError', undefined])
  const twice = JSON.stringify({ sql: { text: 'SELECT ?', binds: [1] } })
  assert.deepEqual(tagOf(() => query(store, twice, 1)), ['QueryError', undefined])
})

test('SQL takes values that come apart from it', () => {
  const { store } = open()
  commit(store, created('a', { rank: 1 }), created('b', { rank: 2 }))
  const read = (...values) => [...sql(store, 'SELECT id FROM todos WHERE rank = ? OR id = ? ORDER BY id', ...values)]
  assert.deepEqual(read(1, 'b'), [['a'], ['b']])
  assert.deepEqual(read(null, "a' OR 1"), [])
  assert.deepEqual(tagOf(() => read(1)), ['SqliteError', undefined])
})

test('the text of a write is asked for once, and again when too many others have come', () => {
  const asked = []
  const { store } = open({}, {
    materialize: (_name, args) => JSON.stringify([[JSON.parse(args).number, []]]),
    statement: (number) => {
      asked.push(number)
      return `INSERT INTO todos (id) VALUES ('${number}')`
    },
  })
  const event = (number) => ['v1.TodoCreated', { number }]
  commit(store, event(1))
  assert.throws(() => commit(store, event(1)), /UNIQUE/)
  assert.deepEqual(asked, [1])
  for (let number = 2; number <= 501; number++) commit(store, event(number))
  assert.throws(() => commit(store, event(1)), /UNIQUE/)
  assert.deepEqual(asked.filter((number) => number === 1), [1, 1])
  assert.equal(query(store, all).length, 501)
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
      return { many: query(store, all).length > read(least.id) }
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

test('what changes something is refused while something is computed, and the engine goes on', () => {
  const { host, store } = open()
  const [rows, signal] = [store.liveQuery(all), store.liveSignal(1)]
  const refused = [
    () => signal.set(2),
    () => rows.subscribe(() => {}),
    () => store.subscribeSyncStatus(() => {}),
    () => store.subscribeDeadLetters(() => {}),
    () => store.subscribeWarnings(() => {}),
    () => store.nextEvents('{"since": 0, "limit": 1}'),
    () => commit(store, created('a')),
  ]
  for (const change of refused) {
    const failing = store.liveComputed(host.define(change))
    assert.deepEqual(tagOf(() => failing.value()), ['StoreInComputed', undefined])
  }
  commit(store, created('a'))
  assert.equal(rows.take().length, 3)
  assert.equal(signal.value(), 1)
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

test('a subscription can end itself, and the store can be closed by it', () => {
  const { store } = open()
  let calls = 0
  const subscription = store.subscribeSyncStatus(() => ++calls === 2 && subscription.free())
  commit(store, created('a'))
  commit(store, created('b'))
  assert.equal(calls, 2)
  let closes = false
  const closing = store.liveQuery(all).subscribe(() => closes && store.shutdown())
  closes = true
  commit(store, created('c'))
  assert.deepEqual(tagOf(() => query(store, all)), ['StoreClosed', undefined])
  closing.free()
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
  assert.deepEqual(tagOf(() => query(store, all)), ['StoreClosed', undefined])
  assert.deepEqual(tagOf(() => commit(store, created('a'))), ['StoreClosed', undefined])
  subscription.free()
})

test('whatever is thrown is told as well as it can be, and the engine goes on', () => {
  class Unshowable extends Error {
    toString() {
      throw new TypeError('no text')
    }
  }
  const circular = []
  circular.push(circular)
  const { proxy, revoke } = Proxy.revocable({}, {})
  revoke()
  const named = Object.defineProperty({}, 'toJSON', { get: () => { throw new Error('no JSON') } })
  const unshown = /something that cannot be shown/
  const cases = [
    [new Unshowable(), unshown],
    [circular, unshown],
    [proxy, unshown],
    [named, unshown],
    [{ code: 7 }, /\{"code":7\}/],
    [null, /null/],
    [undefined, /undefined/],
    ['a text', /a text/],
    [Symbol('sign'), /Symbol\(sign\)/],
    [12n, /12/],
  ]
  let thrown
  const materialize = (name, ...rest) => {
    if (name === 'v1.Thrown') throw thrown
    return new Host().materialize(name, ...rest)
  }
  const { host, store } = open({}, { materialize })
  for (const [at, [value, expected]] of cases.entries()) {
    thrown = value
    assert.throws(() => commit(store, ['v1.Thrown', {}]), expected)
    assert.throws(() => store.liveChoice(host.define(() => { throw thrown })).take(), expected)
    commit(store, created(`after ${at}`))
  }
  assert.equal(query(store, all).length, cases.length)
})

test('a subscriber that throws is told of, and a console that throws as well stops nothing', (t) => {
  t.mock.method(console, 'error', (error) => { throw error })
  const { store } = open()
  const live = store.liveQuery(all)
  let told = 0
  const subscriptions = [
    store.subscribeSyncStatus(() => { throw new Error('of the app') }),
    live.subscribe(() => void told++),
  ]
  commit(store, created('a'))
  commit(store, created('b'))
  assert.equal(console.error.mock.callCount(), 3)
  assert.equal(told, 3)
  for (const subscription of subscriptions) subscription.free()
})

test('a store cannot be closed while one is materialized, and stays whole', () => {
  const { host, store: other } = open()
  const live = other.liveQuery(all)
  const tags = []
  const materialize = (...args) => {
    tags.push(tagOf(() => other.shutdown())[0])
    return new Host().materialize(...args)
  }
  const { store } = open({}, { materialize })
  commit(store, created('a'))
  assert.deepEqual(tags, ['StoreInMaterializer'])
  const count = other.liveComputed(host.define((read) => {
    read(live.id)
    return query(other, all).length
  }))
  commit(other, created('b'))
  assert.equal(count.value(), 1)
  other.shutdown()
  assert.deepEqual(tagOf(() => query(other, all)), ['StoreClosed', undefined])
})

test('a clock that shows a time before 1970 stops nothing', (t) => {
  t.mock.method(Date, 'now', () => -5)
  const { store } = open()
  commit(store, created('a'))
  assert.equal(query(store, all).length, 1)
})

test('subscribers that never settle are told of', () => {
  const { store } = open()
  const signal = store.liveSignal(0)
  const told = []
  const warnings = store.subscribeWarnings((json) => told.push(...JSON.parse(json).map(({ message }) => message)))
  const subscription = signal.subscribe(() => signal.set(signal.value() + 1))
  subscription.free()
  commit(store, created('a'))
  assert.match(told.join(), /subscribers keep committing in answer to each other/)
  warnings.free()
})

test('receipts that are waited for when the store is closed say so', async () => {
  const { store } = open({ sync: { url: 'ws://127.0.0.1:9' } })
  const receipt = commit(store, created('a'))
  const confirmed = receipt.confirmed()
  const wait = store.nextEvents(JSON.stringify({ since: 0, limit: 1 }))
  store.shutdown()
  await assert.rejects(confirmed, { _tag: 'StoreClosed' })
  await assert.rejects(wait.found, { _tag: 'StoreClosed' })
  wait.free()
  await assert.rejects(receipt.fate(), { _tag: 'StoreClosed' })
  assert.deepEqual(tagOf(() => store.retryNow()), ['StoreClosed', undefined])
})

test('a document is what its event has set', () => {
  const { store } = open()
  const rows = () => [...sql(store, 'SELECT * FROM settings')]
  assert.deepEqual(rows(), [])
  commit(store, ['settingsSet', { id: 'default', value: { dark: true } }])
  assert.deepEqual(rows(), [['default', '{"dark":true}']])
  commit(store, ['settingsSet', { id: 'default', fields: { size: 3 } }], created('a'))
  assert.deepEqual(rows(), [['default', '{"dark":true,"size":3}']])
  commit(store, ['settingsSet', { id: 'default', reset: true }])
  assert.deepEqual(rows(), [])
  assert.deepEqual(tagOf(() => commit(store, ['settingsSet', { id: 5 }])), ['MaterializeError', 'settingsSet'])
})

test('what is wrong with a schema is named', () => {
  const messageOf = (change) => {
    const wrong = structuredClone(schema)
    change(wrong)
    try {
      open({ schema: wrong })
    } catch (error) {
      return `${error._tag}: ${error.message}`
    }
    return undefined
  }
  assert.match(messageOf((s) => (s.tables[0].columns[2].type = 'number')), /^SchemaError: table todos: column rank: .*number/)
  assert.match(messageOf((s) => (s.tables[0].scope = 'shared')), /^SchemaError: table todos: .*shared/)
  assert.match(messageOf((s) => (s.tables[0].columns[2].default = 'five')), /^SchemaError: .*todos\.rank/)
  assert.match(messageOf((s) => (s.tables[0].columns[2].name = 'a b')), /^SchemaError: .*a b/)
  assert.match(messageOf((s) => (s.events[1].kind = 'sync')), /^SchemaError: event v1\.TodoRanked: .*sync/)
  assert.match(messageOf((s) => (s.documents[0].extra = 1)), /^SchemaError: document ui: .*extra/)
  assert.match(messageOf((s) => delete s.tables[0].name), /^SchemaError: table .*name/)
  assert.throws(() => new StoreHandle('{"storeId": 5}', {}), { _tag: 'OpenError' })
})

test('full-text search is in another engine', () => {
  assert.throws(() => open({ schema: withNotes }), /no such module: fts5/)
})

test('a store without a backend has a status, and none of what goes wrong', () => {
  const { store } = open()
  commit(store, created('a'))
  const status = JSON.parse(store.syncStatus())
  assert.equal(status.connection, 'noBackend')
  assert.equal(status.isSynced, false)
  assert.equal(status.pendingEvents, 1)
  const seen = []
  const subscription = store.subscribeSyncStatus((json) => seen.push(JSON.parse(json).pendingEvents))
  commit(store, created('b'))
  assert.deepEqual(seen, [1, 2])
  subscription.free()
  for (const list of [store.deadLetters(), store.quarantined(), store.warnings()]) assert.equal(list, '[]')
  assert.equal(store.acknowledgeDeadLetter('01939c5e-8d2a-7cc0-98c8-2b7c1a7e0f00'), false)
  assert.deepEqual(tagOf(() => store.retryDeadLetter('01939c5e-8d2a-7cc0-98c8-2b7c1a7e0f00')), ['UnknownDeadLetter', undefined])
  assert.deepEqual(tagOf(() => store.retryDeadLetter('x')), ['InvalidGroupId', undefined])
})

test('warnings are told, each once, with a text', () => {
  const old = structuredClone(schema)
  old.events[0].deprecated = 'use v2'
  const { store } = open({ schema: old })
  const seen = []
  const subscription = store.subscribeWarnings((json) => seen.push(JSON.parse(json)))
  commit(store, created('a'))
  commit(store, created('b'))
  const warning = {
    message: 'event v1.TodoCreated is deprecated: use v2',
    kind: 'deprecatedEvent',
    name: 'v1.TodoCreated',
    reason: 'use v2',
  }
  assert.deepEqual(seen, [[], [warning]])
  assert.deepEqual(JSON.parse(store.warnings()), [warning])
  subscription.free()
})
