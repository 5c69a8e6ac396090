// Stores of the engine that sync with `livestore serve`, over the WebSocket that Node has.

import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import {
  Host,
  StoreHandle,
  all,
  commit,
  created,
  folderOfTest,
  open,
  pause,
  query,
  schema,
  serve,
  synced,
  tagOf,
  until,
} from './support.mjs'

const ids = (store) => query(store, all).map(([id]) => id).sort()
const next = async (store, options) => {
  const wait = store.nextEvents(JSON.stringify({ limit: 100, ...options }))
  try {
    return JSON.parse(await wait.found)
  } finally {
    wait.free()
  }
}
const isStopped = (status) => status.connection.stopped !== undefined

test('two clients converge, whoever commits', async () => {
  const { url } = await serve(folderOfTest())
  const { store: ann } = open({ clientId: 'ann', sync: { url } })
  const { store: bob } = open({ clientId: 'bob', sync: { url } })
  const receipt = commit(ann, created('a'), created('b'))
  assert.deepEqual(await receipt.confirmed(), [1, 2])
  assert.equal(await receipt.fate(), 'confirmed')
  await until(bob, (status) => status.confirmedHead === 2)
  const [first, second] = [commit(ann, created('c')), commit(bob, created('d'))]
  await Promise.all([first.confirmed(), second.confirmed()])
  await until(ann, (status) => status.isSynced && status.confirmedHead === 4)
  await until(bob, (status) => status.isSynced && status.confirmedHead === 4)
  assert.deepEqual(ids(ann), ['a', 'b', 'c', 'd'])
  assert.deepEqual(ids(bob), ids(ann))
})

test('what is committed without the server is synced once it is back', async () => {
  const data = folderOfTest()
  const server = await serve(data)
  const { store: ann } = open({ clientId: 'ann', sync: { url: server.url } })
  await commit(ann, created('a')).confirmed()
  const connections = []
  const subscription = ann.subscribeSyncStatus((json) => connections.push(JSON.parse(json).connection))
  await server.stop()
  const offline = await until(ann, (status) => status.connection === 'offline')
  assert.equal(offline.isSynced, false)
  assert.match(offline.lastError, /shutting down|cannot be reached|closed/)
  const receipt = commit(ann, created('b'))
  await pause(300)
  await serve(data, { listen: server.listen })
  ann.retryNow()
  assert.deepEqual(await receipt.confirmed(), [2, 2])
  await synced(ann)
  assert.equal(connections[0], 'connected')
  assert.equal(connections.at(-1), 'connected')
  subscription.free()
})

test('a log is read without timers, which hidden pages have once a minute', async (t) => {
  const { url } = await serve(folderOfTest())
  const { store } = open({ sync: { url } })
  for (let at = 0; at < 3; at++) commit(store, ...Array.from({ length: 1000 }, (_, i) => created(`${at}.${i}`)))
  await synced(store)
  const timers = t.mock.method(globalThis, 'setTimeout')
  const { events } = await next(store, { since: 0, names: ['v1.Unheard'], until: 3000 })
  assert.deepEqual(events, [])
  assert.equal(timers.mock.callCount(), 0)
})

test('a server that is not there is offline, and says why', async () => {
  const { store } = open({ sync: { url: 'ws://127.0.0.1:9' } })
  const { lastError } = await until(store, (status) => status.lastError !== null)
  assert.match(lastError, /ws:\/\/127\.0\.0\.1:9\/sync cannot be reached/)
  const { store: other } = open({ sync: { url: 'http://127.0.0.1:9' } })
  const status = await until(other, (status) => status.lastError !== null)
  assert.match(status.lastError, /not a usable address/)
})

test('tokens are asked for, renewed, and missed', async () => {
  const folder = folderOfTest()
  const tokens = join(folder, 'tokens')
  writeFileSync(tokens, 'a-token-of-someone someone test\n')
  const { url } = await serve(join(folder, 'data'), { tokens })
  const sync = { url, hasTokens: true }
  const asked = []
  const token = async (request) => {
    asked.push(request)
    return request === 'renew' ? 'a-token-of-someone' : 'an-old-token-of-someone'
  }
  const { store } = open({ sync }, { token })
  assert.deepEqual(await commit(store, created('a')).confirmed(), [1, 1])
  assert.deepEqual(asked, ['connect', 'renew'])

  let answer = () => Promise.reject(Object.assign(new Error('sign in to sync'), { _tag: 'SignedOut' }))
  const { store: other } = open({ clientId: 'bob', sync }, { token: () => answer() })
  const stopped = await until(other, isStopped)
  assert.deepEqual(stopped.connection, { stopped: { notAuthorized: { message: 'sign in to sync' } } })
  answer = () => {
    throw new Error('no luck')
  }
  other.retryNow()
  const unlucky = await until(other, (status) => /no luck/.test(status.lastError))
  assert.match(unlucky.lastError, /there is no token now: Error: no luck/)
  answer = () => 'a-token-of-someone'
  other.retryNow()
  await synced(other)
  assert.deepEqual(ids(other), ['a'])
})

test('a server that wants a token is not satisfied by none', async () => {
  const folder = folderOfTest()
  const tokens = join(folder, 'tokens')
  writeFileSync(tokens, 'a-token-of-someone someone test\n')
  const { url } = await serve(join(folder, 'data'), { tokens })
  const { store } = open({ sync: { url } })
  const { connection } = await until(store, isStopped)
  assert.ok(connection.stopped.notAuthorized)
})

test('confirmed events are waited for, chosen, and read in pieces', async () => {
  const { url } = await serve(folderOfTest())
  const { store: ann } = open({ clientId: 'ann', sync: { url } })
  const { store: bob } = open({ clientId: 'bob', sync: { url } })
  const waited = next(ann, { since: 0 })
  commit(ann, ['settingsSet', { id: 'default', value: { dark: true } }])
  const { groupId } = commit(bob, created('a', { rank: 1 }))
  const { events, next: position, done } = await waited
  const [{ id, ...event }] = events
  assert.match(id, /^[0-9a-f-]{36}$/)
  assert.deepEqual(event, {
    name: 'v1.TodoCreated',
    args: { id: 'a', rank: 1 },
    seqNum: 1,
    parentSeqNum: 0,
    clientId: 'bob',
    sessionId: bob.sessionId,
    groupId,
  })
  assert.deepEqual([events.length, position, done], [1, 1, false])

  await commit(ann, ['v1.TodoRanked', { id: 'a', rank: 2 }], created('b'), created('c')).confirmed()
  const seqNums = ({ events, next, done }) => [events.map((event) => event.seqNum), next, done]
  assert.deepEqual(seqNums(await next(ann, { since: 0, limit: 2 })), [[1, 2], 2, false])
  assert.deepEqual(seqNums(await next(ann, { since: 2, limit: 2 })), [[3, 4], 4, false])
  assert.deepEqual(seqNums(await next(ann, { since: 0, until: 3 })), [[1, 2, 3], 3, true])
  assert.deepEqual(seqNums(await next(ann, { since: 3, until: 3 })), [[], 3, true])
  assert.deepEqual(seqNums(await next(ann, { since: 0, names: ['v1.TodoRanked'] })), [[2], 4, false])
  assert.deepEqual(seqNums(await next(ann, { since: 0, clientIds: ['bob'] })), [[1], 4, false])
  assert.deepEqual(seqNums(await next(ann, { since: 0, sessionIds: [ann.sessionId] })), [[2, 3, 4], 4, false])
  assert.deepEqual(seqNums(await next(ann, { since: 1, until: 4, clientIds: ['bob'] })), [[], 4, true])
  const later = next(ann, { since: 4, clientIds: ['bob'] })
  await commit(ann, created('d')).confirmed()
  await until(bob, (status) => status.confirmedHead === 5)
  await commit(bob, created('e')).confirmed()
  assert.deepEqual(seqNums(await later), [[6], 6, false])
  assert.deepEqual(tagOf(() => ann.nextEvents('{}')), ['QueryError', undefined])
})

test('events are waited for until that is no longer wanted', async () => {
  const { url } = await serve(folderOfTest())
  const { store } = open({ sync: { url } })
  await commit(store, created('a')).confirmed()
  const wait = store.nextEvents(JSON.stringify({ since: 0, limit: 1, names: ['v1.Unheard'] }))
  const { found } = wait
  wait.free()
  assert.deepEqual(JSON.parse(await found), { events: [], next: 0, done: false })
})

test('events that stay with this client do not hide those that come behind them', async () => {
  const { url } = await serve(folderOfTest())
  const { store: ann } = open({ clientId: 'ann', sync: { url } })
  const { store: bob } = open({ clientId: 'bob', sync: { url } })
  await commit(ann, created('a')).confirmed()
  const later = next(ann, { since: 1 })
  // More than are looked at in one go.
  for (let at = 0; at < 1_100; at++) {
    commit(ann, ['uiSet', { id: ann.sessionId, value: { width: at } }])
  }
  await until(bob, (status) => status.confirmedHead === 1)
  await commit(bob, created('b')).confirmed()
  assert.deepEqual((await later).events.map((event) => event.args.id), ['b'])
  const { events } = await next(ann, { since: 0, until: 2 })
  assert.deepEqual(events.map((event) => event.seqNum), [1, 2])
})

test('a log longer than a slice is looked through', async () => {
  const { url } = await serve(folderOfTest())
  const { store } = open({ sync: { url } })
  for (let at = 0; at < 30; at++) {
    commit(store, ...Array.from({ length: 100 }, (_, index) => created(`${at}.${index}`)))
  }
  await synced(store)
  const { events, next: position } = await next(store, { since: 0, names: ['v1.Unheard'], until: 3000 })
  assert.deepEqual([events.length, position], [0, 3000])
  const { events: some } = await next(store, { since: 2_500 })
  assert.deepEqual([some[0].seqNum, some.length], [2501, 100])
})

test('what no longer applies is a dead letter, which is told, tried again and forgotten', async () => {
  const { url } = await serve(folderOfTest())
  const { store: ann } = open({ clientId: 'ann', sync: { url } })
  await commit(ann, created('same', { rank: 1 }), created('other')).confirmed()
  const { host, store: bob } = open({ clientId: 'bob', sync: { url } })
  const told = []
  const subscription = bob.subscribeDeadLetters((json) => told.push(JSON.parse(json)))
  const receipt = commit(bob, created('same', { rank: 2 }))
  const another = commit(bob, created('other'))
  await assert.rejects(receipt.confirmed(), { _tag: 'Rejected', message: /no longer applies/ })
  assert.equal(await receipt.fate(), 'rejected')
  assert.deepEqual(told[0], [])
  const [letter, { group }] = told.at(-1)
  assert.deepEqual([letter.group.id, group.id], [receipt.groupId, another.groupId])
  assert.deepEqual(letter.group.events[0].args, { id: 'same', rank: 2 })
  assert.equal(letter.reason.kind, 'materializeFailed')
  assert.match(letter.message, /^event 0 of the group no longer applies/)
  assert.ok(Math.abs(letter.rejectedAtMs - Date.now()) < 60_000)
  assert.deepEqual(JSON.parse(bob.deadLetters()), told.at(-1))
  assert.equal(bob.acknowledgeDeadLetter(another.groupId), true)
  assert.equal(bob.acknowledgeDeadLetter(another.groupId), false)
  assert.deepEqual(told.at(-1), [letter])

  assert.deepEqual(tagOf(() => bob.retryDeadLetter(receipt.groupId)), ['MaterializeError', 'v1.TodoCreated'])
  host.materialize = () => '[]'
  const again = bob.retryDeadLetter(receipt.groupId)
  assert.notEqual(again.groupId, receipt.groupId)
  assert.deepEqual(await again.confirmed(), [3, 3])
  assert.deepEqual(told.at(-1), [])
  subscription.free()
})

test('a store that nobody has any more closes, whatever is waited for', async () => {
  const { url } = await serve(folderOfTest())
  const store = new StoreHandle(JSON.stringify({ storeId: 'test', schema, sync: { url } }), new Host())
  const wait = store.nextEvents('{"since": 0, "limit": 1}')
  await synced(store)
  await pause(5)
  store.free()
  await assert.rejects(wait.found, { _tag: 'StoreClosed' })
  wait.free()
})

test('events that the schema does not know are told, ignored, or stop the sync', async (t) => {
  const { url } = await serve(folderOfTest())
  const { store: ann } = open({ clientId: 'ann', sync: { url } })
  await commit(ann, created('a'), ['v1.TodoRanked', { id: 'a', rank: 2 }]).confirmed()
  const old = structuredClone(schema)
  old.events.splice(1, 1)
  const options = { clientId: 'bob', schema: old, sync: { url } }

  const reported = t.mock.method(console, 'error', () => {})
  const told = []
  const unknownEvent = (json) => {
    told.push(JSON.parse(json))
    throw new Error('what is that?')
  }
  const { store: callback } = open({ ...options, unknownEvents: 'callback' }, { unknownEvent })
  await synced(callback)
  while (told.length === 0) await pause(5)
  const [{ name, args, seqNum, parentSeqNum, clientId }] = told
  assert.deepEqual([name, args, seqNum, parentSeqNum, clientId], ['v1.TodoRanked', { id: 'a', rank: 2 }, 2, 1, 'ann'])
  assert.equal(reported.mock.calls[0].arguments[0].message, 'what is that?')
  const [quarantined] = JSON.parse(callback.quarantined())
  assert.deepEqual([quarantined.name, quarantined.seq, quarantined.unknown], ['v1.TodoRanked', 'e2', true])
  assert.equal(callback.warnings(), '[]')
  callback.shutdown()

  const { store: warn } = open(options)
  await synced(warn)
  assert.equal(JSON.parse(warn.warnings())[0].kind, 'unknownEvent')
  warn.shutdown()

  const { store: fail } = open({ ...options, unknownEvents: 'fail' })
  const { connection } = await until(fail, isStopped)
  assert.match(connection.stopped.unknownEvent.message, /v1\.TodoRanked/)
})

test('without a WebSocket that is said', async () => {
  const { WebSocket } = globalThis
  delete globalThis.WebSocket
  try {
    const { store } = open({ sync: { url: 'ws://127.0.0.1:9' } })
    const { lastError } = await until(store, (status) => status.lastError !== null)
    assert.match(lastError, /this JavaScript has no WebSocket; Node has one from version 22 on/)
  } finally {
    globalThis.WebSocket = WebSocket
  }
})

/** Takes the place of the real one, and does what a test says. */
async function withSocket(onSend, run, options) {
  const { WebSocket } = globalThis
  const sockets = []
  globalThis.WebSocket = class {
    isClosed = false
    constructor() {
      sockets.push(this)
      setTimeout(() => this.onopen?.({}))
    }
    send(text) {
      onSend(this, text)
    }
    close() {
      this.isClosed = true
    }
  }
  try {
    const { store } = open({ sync: { url: 'ws://127.0.0.1:9', hasTokens: options?.token !== undefined } }, options)
    await run(store, sockets)
    store.shutdown()
    const isLetGo = (socket) => socket.isClosed && !socket.onopen && !socket.onmessage && !socket.onclose && !socket.onerror
    for (let patience = 300; !sockets.every(isLetGo); patience--) {
      assert.ok(patience > 0, 'a socket was not let go')
      await pause(10)
    }
  } finally {
    globalThis.WebSocket = WebSocket
  }
}

test('what a server says that is no message, or too much, ends the conversation', async () => {
  const says = (data, expected) =>
    withSocket(
      (socket) => setTimeout(() => socket.onmessage?.({ data })),
      async (store) => {
        const { lastError } = await until(store, (status) => status.lastError !== null)
        assert.match(lastError, expected)
      },
    )
  await says('nonsense', /does not speak our protocol/)
  await says(new ArrayBuffer(3), /does not speak our protocol/)
  await says('x'.repeat(2 ** 24 + 1), /a frame of more than 16777216 bytes/)
  await says('ö'.repeat(2 ** 23 + 1), /a frame of more than 16777216 bytes/)
})

test('a server that sends faster than the store takes is not listened to any more', async () => {
  const frame = 'x'.repeat(2 ** 24)
  await withSocket(
    (socket) => {
      if (socket.hasSent) return
      socket.hasSent = true
      // In one turn, so that the store takes none of it.
      for (let sent = 0; sent < 4; sent++) socket.onmessage({ data: frame })
      assert.equal(socket.isClosed, true)
      socket.onmessage({ data: frame })
    },
    async (store) => {
      const { lastError } = await until(store, (status) => status.lastError !== null)
      assert.match(lastError, /does not speak our protocol/)
    },
  )
})

test('no token is shown, and nothing connects, for a store that is closed', async () => {
  let answer
  const sent = []
  await withSocket(
    (_socket, text) => sent.push(text),
    async (store, sockets) => {
      while (answer === undefined) await pause(5)
      store.shutdown()
      answer('a secret')
      await pause(50)
      assert.deepEqual([sent, sockets], [[], []])
    },
    { token: () => new Promise((resolve) => (answer = resolve)) },
  )
})

test('an address that cannot be used is told without what may be secret in it', async () => {
  const { WebSocket } = globalThis
  globalThis.WebSocket = class {
    constructor(url) {
      throw new SyntaxError(`the URL '${url}' is invalid`)
    }
  }
  try {
    const { store } = open({ sync: { url: 'ws://me:secret@127.0.0.1:99999/sync?key=secret' } })
    const { lastError } = await until(store, (status) => status.lastError !== null)
    assert.match(lastError, /"ws:\/\/127\.0\.0\.1:99999\/sync" is not a usable address: .* port/)
    assert.doesNotMatch(lastError, /secret/)
  } finally {
    globalThis.WebSocket = WebSocket
  }
})

test('a connection that breaks says how', async () => {
  await withSocket(
    (socket) => setTimeout(() => socket.onclose?.({ wasClean: false, code: 1006 })),
    async (store) => {
      const { lastError } = await until(store, (status) => status.lastError !== null)
      assert.match(lastError, /the connection broke \(code 1006\)/)
    },
  )
})

test('a window that goes offline ends the connection', async () => {
  const listeners = new Set()
  globalThis.addEventListener = (name, listener) => name === 'offline' && listeners.add(listener)
  globalThis.removeEventListener = (_name, listener) => listeners.delete(listener)
  try {
    await withSocket(
      () => {},
      async (store) => {
        while (listeners.size === 0) await pause(5)
        await pause(20)
        for (const listener of listeners) listener({})
        const { lastError } = await until(store, (status) => status.lastError !== null)
        assert.match(lastError, /there is no network/)
      },
    )
    assert.equal(listeners.size, 0)
  } finally {
    delete globalThis.addEventListener
    delete globalThis.removeEventListener
  }
})
