// The types that apps name: `tsc` reads this with both, and it has to hold for both.

import {
  createStorePromise,
  type EventDefRecord,
  Events,
  type LiveStoreEvent,
  makeSchema,
  type RowQuery,
  Schema,
  State,
  type Store,
} from '@livestore/livestore'
import type { ReactApi } from '@livestore/react'
import { expectTypeOf, test } from 'vitest'

import { makeAdapter } from '#side'

const tables = {
  items: State.SQLite.table({
    name: 'items',
    columns: {
      id: State.SQLite.text({ primaryKey: true }),
      count: State.SQLite.integer({ default: 0 }),
      due: State.SQLite.datetime({ nullable: true }),
      isDone: State.SQLite.boolean(),
    },
  }),
}
const events = {
  added: Events.synced({ name: 'v1.Added', schema: Schema.Struct({ id: Schema.String, at: Schema.Date }) }),
  removed: Events.synced({ name: 'v1.Removed', schema: Schema.Struct({ id: Schema.String }) }),
}
const materializers = State.SQLite.materializers(events, {
  'v1.Added': ({ id }) => tables.items.insert({ id, isDone: false }),
  'v1.Removed': ({ id }) => tables.items.delete().where({ id }),
})
const schema = makeSchema({ events, state: State.SQLite.makeState({ tables, materializers }) })
const open = () => createStorePromise({ schema, adapter: makeAdapter(), storeId: 'types' })

const documents = {
  any: State.SQLite.clientDocument({ name: 'any', schema: Schema.Any, default: { value: null } }),
  fields: State.SQLite.clientDocument({
    name: 'fields',
    schema: Schema.Struct({ a: Schema.Number, b: Schema.String }),
    default: { value: { a: 1, b: '' } },
  }),
}

test('rows', () => {
  type Items = typeof tables.items
  type Columns = Items['sqliteDef']['columns']
  expectTypeOf<State.SQLite.FromTable.RowDecoded<Items>>().toEqualTypeOf<Items['Type']>()
  expectTypeOf<State.SQLite.FromTable.RowEncoded<Items>['isDone']>().toEqualTypeOf<number>()
  expectTypeOf<State.SQLite.FromTable.Columns<Items>['due']>().toEqualTypeOf<'text'>()
  expectTypeOf<State.SQLite.FromColumns.RowDecoded<Columns>['due']>().toEqualTypeOf<Date | null>()
  expectTypeOf<State.SQLite.FromColumns.RowEncoded<Columns>['id']>().toEqualTypeOf<string>()
  expectTypeOf<State.SQLite.FromColumns.RequiredInsertColumnNames<Columns>>().toEqualTypeOf<'id' | 'isDone'>()
  const row: State.SQLite.FromColumns.InsertRowDecoded<Columns> = { id: 'a', isDone: false }
  expectTypeOf(row.id).toEqualTypeOf<string>()
})

test('events', async () => {
  const all: EventDefRecord = events
  expectTypeOf(all['added']).not.toBeNever()
  type Input = LiveStoreEvent.Input.ForSchema<typeof schema>
  expectTypeOf<Input['name']>().toEqualTypeOf<'v1.Added' | 'v1.Removed'>()
  type Client = Extract<LiveStoreEvent.Client.ForSchema<typeof schema>, { name: 'v1.Added' }>
  expectTypeOf<Client['args']['at']>().toEqualTypeOf<Date>()
  expectTypeOf<LiveStoreEvent.ForEventDef.Encoded<typeof events.added>['args']['at']>().toEqualTypeOf<string>()
  expectTypeOf<LiveStoreEvent.Client.Encoded['seqNum']['global']>().toExtend<number>()
  expectTypeOf<LiveStoreEvent.Global.Encoded['seqNum']>().toExtend<number>()
  expectTypeOf<LiveStoreEvent.Input.Encoded['name']>().toEqualTypeOf<string>()
  const commitAll = (store: Store<typeof schema>, list: Input[]) => store.commit(...list)
  const store = await open()
  commitAll(store, [{ name: 'v1.Added', args: { id: 'a', at: new Date(0) } }])
  await store.shutdownPromise()
  void (async () => {
    for await (const event of store.events()) {
      if (event.name === 'v1.Added') expectTypeOf(event.args.at).toEqualTypeOf<Date>()
    }
  })
})

test('any table', () => {
  const table: State.SQLite.TableDef.Any = tables.items
  const byId = (table: State.SQLite.TableDef.Any, id: string) => table.where({ id })
  expectTypeOf(byId(table, 'a').asSql().query).toEqualTypeOf<string>()
  expectTypeOf(byId(tables.items, 'a').asSql().query).toEqualTypeOf<string>()
})

test('documents', () => {
  expectTypeOf<RowQuery.GetOrCreateOptions<typeof documents.any>['default']>().toBeAny()
  expectTypeOf<RowQuery.GetOrCreateOptions<typeof documents.fields>['default']['a']>().toEqualTypeOf<
    number | undefined
  >()
  expectTypeOf<RowQuery.Result<typeof tables.items>['id']>().toEqualTypeOf<string>()
  void ((store: ReactApi) => {
    const [value, set] = store.useClientDocument(documents.any, 'a', { default: 5 })
    expectTypeOf(value).toBeAny()
    set(4)
    set([1])
    const [fields, setFields] = store.useClientDocument(documents.fields, 'a', { default: { a: 2 } })
    expectTypeOf(fields.a).toEqualTypeOf<number>()
    setFields({ b: 'x' })
    setFields((before) => ({ a: before.a + 1 }))
    // @ts-expect-error no such field
    setFields({ c: 1 })
  })
  void documents.any.set([1], 'a')
})
