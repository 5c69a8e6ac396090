import { Events, queryDb, Schema, SessionIdSymbol, State } from '@livestore/livestore'
import { expect, test } from 'vitest'

import { different } from './different.js'
import { created, failsSilently, follow, ids, open, tables, thrown } from './support.js'

const { clientDocument } = State.SQLite
const { todos, ui } = tables as any

test('a document is its default until it is set', async () => {
  const store = await open()
  expect(store.query(ui.get())).toEqual({ filter: 'all', size: 0 })
})

test('set() makes an event of the document', () => {
  expect(ui.set({ size: 1 })).toEqual({ name: 'uiSet', args: { id: SessionIdSymbol, value: { size: 1 } } })
  expect(ui.set({ size: 1 }, 'a')).toEqual({ name: 'uiSet', args: { id: 'a', value: { size: 1 } } })
  expect(thrown(() => ui.set({ size: 'great' }))).toMatch(/uiSet/)
  expect(ui.set.name).toBe('uiSet')
  expect(ui.set.options).toMatchObject({ derived: true, clientOnly: true })
})

test('a document tells its default and its schema', () => {
  expect(ui.default).toEqual({ id: SessionIdSymbol, value: { filter: 'all', size: 0 } })
  expect(Schema.encodeSync(ui.valueSchema as any)({ filter: 'x', size: 1 })).toEqual({ filter: 'x', size: 1 })
  expect(ui.options).toEqual({ isClientDocumentTable: true })
})

test('some fields are set and others stay', async () => {
  const store = await open()
  store.commit(ui.set({ size: 5 }))
  expect(store.query(ui.get())).toEqual({ filter: 'all', size: 5 })
  store.commit(ui.set({ filter: 'done' }))
  expect(store.query(ui.get())).toEqual({ filter: 'done', size: 5 })
})

test('the id of the session is the default here, and other ids are other documents', async () => {
  const store = await open()
  store.commit(ui.set({ size: 1 }, SessionIdSymbol), ui.set({ size: 2 }, 'other'))
  expect(store.query(ui.get()).size).toBe(1)
  expect(store.query(ui.get(SessionIdSymbol)).size).toBe(1)
  expect(store.query(ui.get(store.sessionId)).size).toBe(1)
  expect(store.query(ui.get('other')).size).toBe(2)
  expect(store.query(ui.get('third')).size).toBe(0)
})

test('followers are told of what is set', async () => {
  const store = await open()
  const seen = follow(store, queryDb(ui.get('mine')))
  store.commit(ui.set({ size: 1 }, 'mine'))
  expect(seen).toEqual([{ filter: 'all', size: 0 }, { filter: 'all', size: 1 }])
})

test('a document is a table as well', async () => {
  const store = await open()
  store.commit(ui.set({ size: 1 }, 'mine'))
  expect(store.query(ui.where({ id: 'mine' }))).toEqual([{ id: 'mine', value: { filter: 'all', size: 1 } }])
})

test('without partialSet, the whole value is set', async () => {
  const whole: any = clientDocument({
    name: 'whole',
    schema: Schema.Struct({ a: Schema.String, b: Schema.Number }),
    partialSet: false,
    default: { id: 'one', value: { a: '', b: 0 } },
  })
  const store = await open({ tables: { whole } })
  expect(store.query(whole.get())).toEqual({ a: '', b: 0 })
  store.commit(whole.set({ a: 'x', b: 1 }))
  expect(store.query(whole.get())).toEqual({ a: 'x', b: 1 })
  expect(thrown(() => whole.set({ a: 'y' }))).toMatch(/wholeSet/)
})

test('a document that may be anything is replaced', async () => {
  const anything: any = clientDocument({ name: 'anything', schema: Schema.Any, default: { value: null } })
  const store = await open({ tables: { anything } })
  expect(store.query(anything.get('k'))).toBeNull()
  for (const value of [{ a: { b: 1 } }, { c: 1 }, 'text', 5, null]) {
    store.commit(anything.set(value, 'k'))
    expect(store.query(anything.get('k'))).toEqual(value)
  }
})

test('a document that is set as a whole has no field of its default or of the value before', async () => {
  const { optional, Record, Struct, Literal, Union } = Schema
  const variant = (tag: string) => Struct({ kind: Literal(tag), x: optional(Schema.Number) })
  const documents = [
    { schema: Record({ key: Schema.String, value: Schema.Number }), value: { a: 0 }, sets: [{ b: 2 }, {}] },
    { schema: Schema.Any, value: { a: 0 }, sets: [{ b: 2 }, {}, 4] },
    {
      schema: Struct({ a: optional(Schema.String), b: Schema.Number }),
      value: { a: 'x', b: 1 },
      partialSet: false,
      sets: [{ b: 2 }, { a: 'y', b: 3 }, { b: 4 }],
    },
    { schema: Union(variant('a'), variant('b')), value: { kind: 'a', x: 1 }, partialSet: false, sets: [{ kind: 'b' }] },
  ]
  for (const { schema, value, partialSet, sets } of documents) {
    const document: any = clientDocument({ name: 'document', schema, partialSet, default: { id: 'one', value } } as any)
    const store = await open({ tables: { document } })
    for (const set of sets) {
      store.commit(document.set(set))
      expect(store.query(document.get())).toEqual(set)
    }
  }
})

test('values are encoded, and what is set is set as a whole at the first level', async () => {
  const deep: any = clientDocument({
    name: 'deep',
    schema: Schema.Struct({
      more: Schema.Struct({ a: Schema.optional(Schema.Number), b: Schema.optional(Schema.Number) }),
      at: Schema.NullOr(Schema.Date),
    }),
    default: { id: 'one', value: { more: { a: 1 }, at: null } },
  })
  const store = await open({ tables: { deep } })
  store.commit(deep.set({ more: { b: 2 } }))
  store.commit(deep.set({ at: new Date(5) }))
  expect(store.query(deep.get())).toEqual({ more: { b: 2 }, at: new Date(5) })
})

test('fields that are stored by another name are set one at a time as well', async () => {
  const renamed: any = clientDocument({
    name: 'renamed',
    schema: Schema.Struct({ a: Schema.propertySignature(Schema.String).pipe(Schema.fromKey('stored')), b: Schema.Number }),
    default: { id: 'one', value: { a: 'z', b: 1 } },
  })
  const store = await open({ tables: { renamed } })
  store.commit(renamed.set({ b: 3 }))
  expect(store.query(renamed.get())).toEqual({ a: 'z', b: 3 })
  store.commit(renamed.set({ a: 'w' }))
  expect(store.query(renamed.get())).toEqual({ a: 'w', b: 3 })
})

test('a document of a schema of which Effect makes none with missing fields has to be set as a whole', async () => {
  const { optionalWith, Struct } = Schema
  class Point extends Schema.Class<Point>('Point')({ x: Schema.Number }) {}
  const documents = [
    { schema: Struct({ x: Schema.Number }).pipe(Schema.filter(({ x }) => x < 5)), value: { x: 1 } },
    { schema: Struct({ x: optionalWith(Schema.Number, { default: () => 7 }) }), value: { x: 1 } },
    { schema: Point, value: new Point({ x: 1 }) },
  ]
  for (const { schema, value } of documents) {
    const define = (options: object): any =>
      clientDocument({ name: 'document', schema, default: { id: 'one', value }, ...options } as any)
    expect(thrown(() => define({}))).toMatch(/Unsupported schema/)
    const document = define({ partialSet: false })
    const store = await open({ tables: { document } })
    store.commit(document.set(schema === Point ? new Point({ x: 2 }) : { x: 2 }))
    expect(store.query(document.get()).x).toBe(2)
  }
})

test('a reader may give a default, or a part of one', async () => {
  const store = await open()
  expect(store.query(ui.get('a', { default: { filter: 'mine', size: 9 } }))).toEqual({ filter: 'mine', size: 9 })
  expect(store.query(ui.get('b', { default: { filter: 'mine' } }))).toEqual({ filter: 'mine', size: 0 })
})

test('the default of a reader of a document that is set as a whole is whole', async () => {
  const schema = Schema.Record({ key: Schema.String, value: Schema.Number })
  const counts: any = clientDocument({ name: 'counts', schema, default: { id: 'one', value: { a: 0 } } })
  const store = await open({ tables: { counts } })
  expect(store.query(counts.get('one', { default: { b: 1 } }))).toEqual({ b: 1 })
})

/** What a document is of which this was stored before its schema was what it is. */
const readStored = async (stored: string, partialSet = true) => {
  const old: any = clientDocument({
    name: 'old',
    schema: Schema.Struct({ a: Schema.String, n: Schema.Number }),
    partialSet,
    default: { id: 'one', value: { a: 'default', n: 1 } },
  })
  const stores = Events.clientOnly({ name: 'stores', schema: Schema.Struct({}), persist: true } as any)
  const materializers = { stores: () => ({ sql: `INSERT INTO old (id, value) VALUES ('one', ?)`, bindValues: [stored] }) }
  const store = await open({ tables: { old }, events: { stores }, materializers })
  store.commit(stores({}))
  return store.query(old.get())
}

test('what was stored in another shape is read as far as it fits', async () => {
  expect(await readStored('{"a":"x","n":2}')).toEqual({ a: 'x', n: 2 })
  expect(await readStored('{"a":"x"}')).toEqual({ a: 'x', n: 1 })
  expect(await readStored('{"a":"x","n":2,"gone":1}')).toEqual({ a: 'x', n: 2 })
  expect(await readStored('"text"')).toEqual({ a: 'default', n: 1 })
  expect(await readStored('null')).toEqual({ a: 'default', n: 1 })
  expect(await readStored('{"a":"x"}', false)).toEqual({ a: 'x', n: 1 })
})

// What differs.

different('stored-documents-keep-what-fits', {
  livestore: async () => {
    expect(await readStored('{"a":5,"n":2}')).toEqual({ a: 'default', n: 1 })
  },
  ours: async () => {
    expect(await readStored('{"a":5,"n":2}')).toEqual({ a: 'default', n: 2 })
  },
})

const afterRead = async () => {
  const store = await open()
  store.query(ui.get())
  return [store.syncStatus().localHead, store.query(ui.count())]
}
different('reading-documents-writes-nothing', {
  livestore: async () => {
    expect(await afterRead()).toEqual(['e0.1', 1])
  },
  ours: async () => {
    expect(await afterRead()).toEqual(['e0', 0])
  },
})

const twoReaders = async () => {
  const store = await open()
  store.query(ui.get('a', { default: { filter: 'first', size: 9 } }))
  return store.query(ui.get('a'))
}
different('defaults-of-readers', {
  livestore: async () => {
    expect(await twoReaders()).toEqual({ filter: 'first', size: 9 })
  },
  ours: async () => {
    expect(await twoReaders()).toEqual({ filter: 'all', size: 0 })
  },
})

const nameless: any = clientDocument({ name: 'nameless', schema: Schema.Struct({ a: Schema.String }), default: { value: { a: '' } } })
different('documents-without-an-id', {
  livestore: () => {
    expect(nameless.get().asSql().bindValues).toEqual([undefined])
    expect(thrown(() => nameless.set({ a: 'x' }))).toMatch(/Invalid event args for event 'namelessSet':\s*$/)
  },
  ours: () => {
    for (const use of [() => nameless.get(), () => nameless.set({ a: 'x' })]) {
      expect(thrown(use)).toMatch(/the client document nameless has no default id/)
    }
  },
})

different('undefined-fields-of-documents', {
  livestore: async () => {
    const store = await open()
    expect(await failsSilently(store, () => store.commit(ui.set({ size: 1, filter: undefined })))).toBe(true)
  },
  ours: async () => {
    const store = await open()
    store.commit(ui.set({ size: 1, filter: undefined }))
    expect(store.query(ui.get())).toEqual({ filter: 'all', size: 1 })
  },
})

const local = Events.clientOnly({ name: 'local', schema: Schema.Struct({ id: Schema.String }) })
const mine: any = State.SQLite.table({ name: 'mine', columns: { id: State.SQLite.text({ primaryKey: true }) }, scope: 'memory' } as any)
different('scopes-of-tables', {
  livestore: async () => {
    const store = await open({ events: { local }, materializers: { local: ({ id }: any) => todos.insert({ id }) } })
    store.commit(local({ id: 'a' }))
    expect(ids(store, todos)).toBe('a')
  },
  ours: async () => {
    const materializers = { local: ({ id }: any) => (id === 'wrong' ? todos : mine).insert({ id }) }
    const store = await open({ events: { local }, tables: { mine }, materializers })
    expect(thrown(() => store.commit(local({ id: 'wrong' })))).toMatch(/only synced events write to synced tables[^]*scope: 'memory'/)
    store.commit(local({ id: 'a' }))
    expect(ids(store, mine)).toBe('a')
  },
})

const heads = async () => {
  const store = await open({ events: { local }, materializers: { local: () => [] } })
  store.commit(local({ id: 'a' }))
  const { localHead } = store.syncStatus()
  store.commit(created('a'))
  return [localHead, store.syncStatus().localHead]
}
different('positions-of-client-only-events', {
  livestore: async () => {
    expect(await heads()).toEqual(['e0.1', 'e1'])
  },
  ours: async () => {
    expect(await heads()).toEqual(['e0', 'e1'])
  },
})
