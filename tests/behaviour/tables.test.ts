import { Schema, State } from '@livestore/livestore'
import { expect, test } from 'vitest'

import { side } from '#side'
import { different } from './different.js'
import { failsSilently, isShutDown, open, rejected, tables, thrown, until, written } from './support.js'

const SQLite = State.SQLite as typeof State.SQLite & Record<string, any>

/** A store with a table of a key and a column, into which `insert` puts rows. */
const withColumn = async (column: any) => {
  const things = SQLite.table({ name: 'things', columns: { id: SQLite.text({ primaryKey: true }), it: column } })
  const values: any[] = []
  const write = ({ at }: { at: number }) => things.insert({ id: `${at}`, ...values[at] } as never)
  const store = await open({ tables: { things }, write })
  return {
    store,
    things,
    insert: (value?: unknown) => store.commit(written({ at: values.push(value === undefined ? {} : { it: value }) - 1 })),
    /** What the query builder and what SQL has of the column. */
    read: () => store.query(things.select('it')),
    stored: () => store.query({ query: 'SELECT it, typeof(it) AS type FROM things', bindValues: [] }),
  }
}

const kinds: Array<[string, () => any, unknown[], unknown[], string]> = [
  ['text', () => SQLite.text(), ['a', '', 'ü"\'\n'], ['a', '', 'ü"\'\n'], 'text'],
  ['integer', () => SQLite.integer(), [1, 0, -1, 2 ** 40], [1, 0, -1, 2 ** 40], 'integer'],
  ['real', () => SQLite.real(), [1.5, 2, -0.1, Number.POSITIVE_INFINITY], [1.5, 2, -0.1, Number.POSITIVE_INFINITY], 'real'],
  ['blob', () => SQLite.blob(), [new Uint8Array([1, 0, 255])], [new Uint8Array([1, 0, 255])], 'blob'],
  ['boolean', () => SQLite.boolean(), [true, false], [1, 0], 'integer'],
  ['json', () => SQLite.json(), [{ a: [1, null] }, 'x', [1], true, null], ['{"a":[1,null]}', '"x"', '[1]', 'true', 'null'], 'text'],
  ['datetime', () => SQLite.datetime(), [new Date(0), new Date(1.5e12)], ['1970-01-01T00:00:00.000Z', '2017-07-14T02:40:00.000Z'], 'text'],
  ['text with a schema', () => SQLite.text({ schema: Schema.NumberFromString }), [5], ['5'], 'text'],
  ['text of literals', () => SQLite.text({ schema: Schema.Literal('a', 'b') }), ['b'], ['b'], 'text'],
  ['integer with a schema', () => SQLite.integer({ schema: Schema.DateFromNumber }), [new Date(7)], [7], 'integer'],
  ['json with a schema', () => SQLite.json({ schema: Schema.Struct({ at: Schema.Date }) }), [{ at: new Date(5) }], ['{"at":"1970-01-01T00:00:00.005Z"}'], 'text'],
  ['column("text")', () => SQLite.column('text')(), ['a'], ['a'], 'text'],
]
for (const [name, column, values, encoded, type] of kinds) {
  test(`${name}: a value comes back as it was, and is stored as ${type}`, async () => {
    const { insert, read, stored } = await withColumn(column())
    for (const value of values) insert(value)
    expect(read()).toEqual(values)
    expect(stored()).toEqual(encoded.map((it) => ({ it, type })))
  })
}

test('a nullable column takes null, and no value at all', async () => {
  const { insert, read } = await withColumn(SQLite.text({ nullable: true }))
  insert(null)
  insert()
  insert('a')
  expect(read()).toEqual([null, null, 'a'])
})

const defaults: Array<[string, () => any, unknown]> = [
  ['a text', () => SQLite.text({ default: 'd' }), 'd'],
  ['an empty text', () => SQLite.text({ default: '' }), ''],
  ['half a character', () => SQLite.text({ default: 'ab😀'.slice(0, 3) }), 'ab�'],
  ['null', () => SQLite.text({ nullable: true, default: null }), null],
  ['true', () => SQLite.boolean({ default: true }), true],
  ['an integer', () => SQLite.integer({ default: 5 }), 5],
  ['a real', () => SQLite.real({ default: 1.5 }), 1.5],
  ['JSON', () => SQLite.json({ schema: Schema.Struct({ a: Schema.Number }), default: { a: 1 } }), { a: 1 }],
  ['a date', () => SQLite.datetime({ default: new Date(5) }), new Date(5)],
]
test('a stored date that is none cannot be read', async () => {
  const store = await open({ write: () => ({ sql: "INSERT INTO todos (id, due) VALUES ('a', 'some day')" }) })
  store.commit(written({}))
  expect(thrown(() => store.query(tables.todos))).not.toBe('')
})

for (const [name, column, value] of defaults) {
  test(`a default may be ${name}`, async () => {
    const { insert, read } = await withColumn(column())
    insert()
    expect(read()).toEqual([value])
  })
}

test('a column definition tells what it was made with', () => {
  const { columns } = tables.todos.sqliteDef
  expect(columns.id).toMatchObject({ columnType: 'text', nullable: false, primaryKey: true, autoIncrement: false })
  expect(columns.due).toMatchObject({ columnType: 'text', nullable: true, primaryKey: false })
  expect(columns.done.columnType).toBe('integer')
  expect(columns.done.default).toMatchObject({ _tag: 'Some', value: false })
  expect(columns.id.default).toMatchObject({ _tag: 'None' })
  expect(SQLite.isColumnDefinition(columns.id)).toBe(true)
  for (const other of [{}, null, 'text']) expect(SQLite.isColumnDefinition(other)).toBe(false)
})

test('a table tells its name, its columns and whether it is a client document', () => {
  expect(tables.todos.sqliteDef.name).toBe('todos')
  expect(Object.keys(tables.todos.sqliteDef.columns)).toEqual(['id', 'text', 'done', 'rank', 'tags', 'due'])
  expect(tables.todos.options).toEqual({ isClientDocumentTable: false })
  expect(SQLite.tableIsClientDocumentTable(tables.ui)).toBe(true)
  expect(SQLite.tableIsClientDocumentTable(tables.todos)).toBe(false)
})

test('rowSchema decodes a row, and insertSchema lets columns be missing', () => {
  const row = { id: 'a', text: '', done: 1, rank: null, tags: '["x"]', due: '1970-01-01T00:00:00.005Z' }
  const decoded = { id: 'a', text: '', done: true, rank: null, tags: ['x'], due: new Date(5) }
  expect(Schema.decodeUnknownSync(tables.todos.rowSchema)(row)).toEqual(decoded)
  expect(Schema.encodeSync(tables.todos.rowSchema)(decoded)).toEqual(row)
  expect(Schema.decodeUnknownSync(tables.todos.insertSchema as any)({ id: 'a' })).toEqual({ id: 'a' })
  expect(String(tables.todos.rowSchema)).toBe('todos')
})

test('a table of one column is a table with the column `value`', async () => {
  const values = SQLite.table({ name: 'values_only', columns: SQLite.text({ primaryKey: true }) })
  const store = await open({ tables: { values }, write: () => values.insert({ value: 'a' }) })
  store.commit(written({}))
  expect(store.query(values)).toEqual([{ value: 'a' }])
})

test('a primary key may have several columns', async () => {
  const pairs = SQLite.table({
    name: 'pairs',
    columns: { a: SQLite.text({ primaryKey: true }), b: SQLite.text({ primaryKey: true }), v: SQLite.text() },
  })
  const write = (row: any) => pairs.insert(row).onConflict(['a', 'b'], 'update', { v: undefined as never })
  const store = await open({ tables: { pairs }, write })
  for (const row of ['11x', '12y', '11z']) store.commit(written({ a: row[0], b: row[1], v: row[2] }))
  expect(store.query(pairs.orderBy('b', 'asc').select('v'))).toEqual(['z', 'y'])
})

test('a unique index is kept', async () => {
  const users = SQLite.table({
    name: 'users',
    columns: { id: SQLite.text({ primaryKey: true }), mail: SQLite.text() },
    indexes: [{ name: 'users_mail', columns: ['mail'], isUnique: true }],
  })
  expect(users.sqliteDef.indexes).toEqual([{ name: 'users_mail', columns: ['mail'], isUnique: true }])
  const store = await open({ tables: { users }, write: (row: any) => users.insert(row) })
  store.commit(written({ id: 'a', mail: 'x' }))
  const again = thrown(() => store.commit(written({ id: 'b', mail: 'x' })))
  if (side === 'ours') expect(again).toMatch(/UNIQUE constraint failed: users\.mail/)
  else await until(() => expect(isShutDown(store)).toBe(true))
})

test('a column that is required is asked for', () => {
  expect(thrown(() => tables.todos.insert({ text: 'x' } as never).asSql())).toMatch(/id/)
})

test('a value that does not fit its column is refused', () => {
  const { todos } = tables
  expect(thrown(() => todos.insert({ id: 1 } as never).asSql())).toMatch(/expected (a )?string, actual 1/i)
  expect(thrown(() => todos.insert({ id: 'a', done: 1 } as never).asSql())).toMatch(/done[^]*boolean/)
  expect(thrown(() => todos.update({ due: 'today' } as never).asSql())).toMatch(/due[^]*Date/)
})

// Tables that are made of a schema.

const shape = (table: any) =>
  Object.fromEntries(
    Object.entries<any>(table.sqliteDef.columns).map(([name, column]) => [name, `${column.columnType}${column.nullable ? '?' : ''}`]),
  )

test('a table of a schema has a column for each field', () => {
  const { Struct, String, Number, Int, Boolean, Literal, NullOr, UndefinedOr, NullishOr } = Schema
  const table = SQLite.table({
    name: 'fields',
    schema: Struct({
      text: String,
      nonEmpty: Schema.NonEmptyString,
      uuid: Schema.UUID,
      branded: String.pipe(Schema.brand('Id')),
      int: Int,
      real: Number,
      truth: Boolean,
      date: Schema.Date,
      millis: Schema.DateFromNumber,
      fromText: Schema.NumberFromString,
      bytes: Schema.Uint8ArrayFromSelf,
      literal: Literal('a', 'b'),
      rank: Literal(1, 2),
      one: Literal(1),
      bigint: Schema.BigInt,
      struct: Struct({ a: String }),
      list: Schema.Array(String),
      anything: Schema.Any,
      either: Schema.Union(String, Number),
      optional: Schema.optional(String),
      orNull: NullOr(Number),
      orUndefined: UndefinedOr(String),
      orBoth: NullishOr(String),
    }),
  })
  expect(shape(table)).toEqual({
    text: 'text',
    nonEmpty: 'text',
    uuid: 'text',
    branded: 'text',
    int: 'integer',
    real: 'real',
    truth: 'integer',
    date: 'text',
    millis: 'integer',
    fromText: 'text',
    bytes: 'blob',
    literal: 'text',
    rank: 'integer',
    one: 'real',
    bigint: 'text',
    struct: 'text',
    list: 'text',
    anything: 'text',
    either: 'text',
    optional: 'text?',
    orNull: 'real?',
    orUndefined: 'text?',
    orBoth: 'text?',
  })
})

test('annotations say what a schema does not', () => {
  const { withAutoIncrement, withColumnType, withDefault, withPrimaryKey, withUnique } = SQLite
  const table = SQLite.table({
    name: 'users',
    schema: Schema.Struct({
      id: Schema.Int.pipe(withPrimaryKey, withAutoIncrement),
      mail: Schema.String.pipe(withUnique),
      name: Schema.String.pipe(withDefault('nobody')),
      size: Schema.Int.pipe(withColumnType('real')),
      rank: Schema.Int.pipe(withDefault(1)),
      born: Schema.DateFromNumber.pipe(withDefault(new Date(5))),
    }),
  })
  const { columns, indexes } = table.sqliteDef
  expect(columns.id).toMatchObject({ columnType: 'integer', primaryKey: true, autoIncrement: true })
  expect(columns.name.default).toMatchObject({ _tag: 'Some', value: 'nobody' })
  expect(columns.size.columnType).toBe('real')
  expect(columns.rank.columnType).toBe('integer')
  expect(columns.born.columnType).toBe('integer')
  expect(indexes).toEqual([{ name: 'idx_users_mail_unique', columns: ['mail'], isUnique: true }])
})

test('rows of a table of a schema are what the schema says', async () => {
  const people = SQLite.table({
    name: 'people',
    schema: Schema.Struct({
      id: Schema.String.pipe(SQLite.withPrimaryKey),
      on: Schema.Boolean,
      born: Schema.Date,
      seen: Schema.DateFromNumber,
      nick: Schema.optional(Schema.String),
      home: Schema.Struct({ city: Schema.String }),
      name: Schema.String.pipe(SQLite.withDefault('nobody')),
    }),
  })
  const row = { id: 'a', on: true, born: new Date(5), seen: new Date(6), home: { city: 'x' } }
  const store = await open({ tables: { people }, write: () => people.insert(row as never) })
  store.commit(written({}))
  expect(store.query(people)).toEqual([{ ...row, nick: null, name: 'nobody' }])
  const [stored] = store.query({ query: 'SELECT * FROM people', bindValues: [] })
  expect(stored).toEqual({ id: 'a', on: 1, born: '1970-01-01T00:00:00.005Z', seen: 6, nick: null, home: '{"city":"x"}', name: 'nobody' })
})

test('a table of a schema is named by its name, its title or its identifier', () => {
  const schema = Schema.Struct({ id: Schema.String })
  expect(SQLite.table({ name: 'given', schema: schema.annotations({ title: 'titled' }) }).sqliteDef.name).toBe('given')
  expect(SQLite.table({ schema: schema.annotations({ title: 'titled' }) }).sqliteDef.name).toBe('titled')
  expect(SQLite.table({ schema: schema.annotations({ identifier: 'identified' }) }).sqliteDef.name).toBe('identified')
  expect(thrown(() => SQLite.table({ schema }))).toMatch(/name.*title.*identifier/)
})

test('a table of a union of schemas has the fields of all of them', () => {
  const { Struct, String, Number } = Schema
  const either = Schema.Union(Struct({ a: String, b: Number }), Struct({ a: String, c: Number }))
  expect(Object.keys(SQLite.table({ name: 'either', schema: either as any }).sqliteDef.columns)).toEqual(['a'])
})

test('a primary key of a schema cannot be null', () => {
  const schema = Schema.Struct({ id: Schema.NullOr(Schema.String).pipe(SQLite.withPrimaryKey) })
  expect(thrown(() => SQLite.table({ name: 'x', schema }))).toMatch(/primary key/i)
})

test('a table needs columns or a schema', () => {
  expect(thrown(() => SQLite.table({ name: 'x' } as never))).toMatch(/columns.*schema/)
})

// What differs.

different('datetimeInteger', {
  livestore: () => {
    expect(SQLite['datetimeInteger']).toBeUndefined()
  },
  ours: async () => {
    const { insert, read, stored } = await withColumn(SQLite['datetimeInteger']())
    insert(new Date(5))
    expect(read()).toEqual([new Date(5)])
    expect(stored()).toEqual([{ it: 5, type: 'integer' }])
  },
})

different('defaults-by-function', {
  livestore: async () => {
    const { insert, read } = await withColumn(SQLite.text({ nullable: true, default: () => 'made' }))
    insert()
    expect(read()).toEqual([null])
    const required = await withColumn(SQLite.text({ default: () => 'made' }))
    expect(await failsSilently(required.store, () => required.insert())).toBe(true)
  },
  ours: async () => {
    const { insert, read } = await withColumn(SQLite.text({ default: () => 'made' }))
    insert()
    expect(read()).toEqual(['made'])
  },
})

const awkward: Array<[() => any, unknown]> = [
  [() => SQLite.text({ default: "it's" }), "it's"],
  [() => SQLite.json({ default: { a: "it's" } }), { a: "it's" }],
  [() => SQLite.blob({ default: new Uint8Array([1, 2]) }), new Uint8Array([1, 2])],
]
different('defaults-are-quoted', {
  livestore: async () => {
    for (const [column] of awkward) expect(await rejected(withColumn(column()))).toMatch(/syntax error/)
  },
  ours: async () => {
    for (const [column, value] of awkward) {
      const { insert, read } = await withColumn(column())
      insert()
      expect(read()).toEqual([value])
    }
  },
})

different('defaults-in-sql', {
  livestore: async () => {
    const { insert, read } = await withColumn(SQLite.integer({ default: { sql: '(1 + 2)' } }))
    insert()
    expect(read()).toEqual([3])
  },
  ours: async () => {
    expect(await rejected(withColumn(SQLite.integer({ default: { sql: '(1 + 2)' } })))).toMatch(/things\.it: a default in SQL/)
  },
})

const counted = () =>
  SQLite.table({ name: 'counted', columns: { id: SQLite.integer({ primaryKey: true, autoIncrement: true }), v: SQLite.text() } })
different('auto-increment', {
  livestore: () => {
    expect(thrown(() => counted().insert({ v: 'a' } as any).asSql())).toMatch(/"id"/)
  },
  ours: async () => {
    const table = counted()
    const store = await open({ tables: { table }, write: ({ v }) => table.insert({ v } as any) })
    store.commit(written({ v: 'a' }), written({ v: 'b' }))
    expect(store.query(table)).toEqual([
      { id: 1, v: 'a' },
      { id: 2, v: 'b' },
    ])
  },
})

const keyless = SQLite.table({ name: 'keyless', columns: { v: SQLite.text() } })
different('primary-keys', {
  livestore: async () => {
    const store = await open({ tables: { keyless }, write: () => keyless.insert({ v: 'a' }) })
    store.commit(written({}))
    expect(store.query(keyless)).toEqual([{ v: 'a' }])
  },
  ours: async () => {
    expect(await rejected(open({ tables: { keyless } }))).toMatch(/the table keyless has no primary key/)
  },
})

const key = { id: SQLite.text({ primaryKey: true }) }
const dashed = SQLite.table({ name: 'my-table', columns: { ...key, 'my col': SQLite.text() } })
const quoted = SQLite.table({ name: "it's", columns: key })
different('names', {
  livestore: async () => {
    const store = await open({ tables: { dashed }, write: () => dashed.insert({ id: 'a', 'my col': 'v' }) })
    store.commit(written({}))
    expect(store.query(dashed.where({ 'my col': 'v' }))).toEqual([{ id: 'a', 'my col': 'v' }])
    const broken = await open({ tables: { quoted } })
    expect(thrown(() => broken.query(quoted))).toMatch(/unrecognized token/)
  },
  ours: async () => {
    for (const table of [dashed, quoted]) expect(await rejected(open({ tables: { table } }))).toMatch(/cannot name a table/)
  },
})

const lists = SQLite.table({
  name: 'lists',
  schema: Schema.Struct({ id: Schema.String.pipe(SQLite.withPrimaryKey), list: Schema.Array(Schema.Number) }),
})
const withLists = () => open({ tables: { lists }, write: () => lists.insert({ id: 'a', list: [1, 2] }) })
different('lists-of-numbers', {
  livestore: async () => {
    expect(shape(lists)['list']).toBe('blob')
    const store = await withLists()
    expect(await failsSilently(store, () => store.commit(written({})))).toBe(true)
  },
  ours: async () => {
    const store = await withLists()
    store.commit(written({}))
    expect(store.query(lists)).toEqual([{ id: 'a', list: [1, 2] }])
  },
})

const positive = SQLite.table({ name: 'x', schema: Schema.Struct({ rank: Schema.Int.pipe(Schema.positive()) }) })
different('integers-with-more-checks', {
  livestore: () => {
    expect(shape(positive)).toEqual({ rank: 'real' })
  },
  ours: () => {
    expect(shape(positive)).toEqual({ rank: 'integer' })
  },
})

const misfit = () => SQLite.table({ name: 'x', schema: Schema.Struct({ id: Schema.String.pipe(SQLite.withColumnType('blob')) }) })
different('column-types-that-do-not-fit', {
  livestore: () => {
    expect(shape(misfit())).toEqual({ id: 'blob' })
  },
  ours: () => {
    expect(thrown(misfit)).toMatch(/id has values of the kind text/)
  },
})

different('required-columns', {
  livestore: () => {
    const insert = tables.todos.insert({ text: 'x' } as never)
    expect(thrown(() => insert.asSql())).toMatch(/"id"[^]*is missing/)
  },
  ours: () => {
    expect(thrown(() => tables.todos.insert({ text: 'x' } as never))).toMatch(/an insert into todos has no value for id/)
  },
})

different('empty-bytes', {
  livestore: async () => {
    const { store, insert } = await withColumn(SQLite.blob())
    expect(await failsSilently(store, () => insert(new Uint8Array()))).toBe(true)
    const orNull = await withColumn(SQLite.blob({ nullable: true }))
    orNull.insert(new Uint8Array())
    expect(orNull.read()).toEqual([null])
  },
  ours: async () => {
    const { insert, read } = await withColumn(SQLite.blob())
    insert(new Uint8Array())
    expect(read()).toEqual([new Uint8Array()])
  },
})

different('texts-with-zero-characters', {
  livestore: async () => {
    const { insert, read } = await withColumn(SQLite.text())
    insert('a\0b')
    expect(read()).toEqual(['a'])
  },
  ours: async () => {
    const { insert, read } = await withColumn(SQLite.text())
    insert('a\0b')
    expect(read()).toEqual(['a\0b'])
  },
})

different('null-in-json-columns', {
  livestore: async () => {
    const { store, things, insert, stored } = await withColumn(SQLite.json({ nullable: true }))
    insert(null)
    expect(stored()).toEqual([{ it: 'null', type: 'text' }])
    expect(store.query(things.where({ it: null }).count())).toBe(0)
  },
  ours: async () => {
    const { store, things, insert, stored } = await withColumn(SQLite.json({ nullable: true }))
    insert(null)
    expect(stored()).toEqual([{ it: null, type: 'null' }])
    expect(store.query(things.where({ it: null }).count())).toBe(1)
  },
})

const GREAT = 2 ** 55 + 8
different('great-integers', {
  livestore: async () => {
    const { insert, read, stored } = await withColumn(SQLite.integer())
    insert(GREAT)
    expect(stored()).toEqual([{ it: BigInt(GREAT), type: 'integer' }])
    expect(thrown(read)).toMatch(/Failed to decode/)
  },
  ours: async () => {
    const { insert, read, stored } = await withColumn(SQLite.integer())
    insert(GREAT)
    expect(stored()).toEqual([{ it: BigInt(GREAT), type: 'integer' }])
    expect(read()).toEqual([BigInt(GREAT)])
  },
})

different('NaN', {
  livestore: async () => {
    const { insert, read } = await withColumn(SQLite.real({ nullable: true }))
    insert(Number.NaN)
    expect(read()).toEqual([null])
  },
  ours: async () => {
    const { insert, read } = await withColumn(SQLite.real({ nullable: true }))
    expect(thrown(() => insert(Number.NaN))).toMatch(/things\.it: expected a number, actual NaN/)
    expect(read()).toEqual([])
  },
})

