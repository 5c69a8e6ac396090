import { effectSupport, isEffectSchema } from './codec.js'
import { type ClientDocumentTableDef, tableIsClientDocumentTable } from './client-document.js'
import { columnInternals } from './columns.js'
import { DeprecatedId } from './deprecated.js'
import { documentOf } from './document-registry.js'
import { LiveStoreError } from './errors.js'
import type { EventDef, EventDefRecord } from './events.js'
import type { Materializer } from './materializers.js'
import { encodeFor } from './stored.js'
import { SessionIdSymbol } from './session-id.js'
import { toJsonValue } from './sql.js'
import { type TableDef, tableInternals } from './table.js'
import type { TableDefBase } from './table-types.js'
import type { UnknownEvents } from './unknown-events.js'

const invalid = (why: string): never => {
  throw new LiveStoreError('SchemaError', why)
}

/** How the state is made of events. */
export interface InternalState {
  readonly sqlite: { readonly tables: Map<string, TableDef.Any> }
  readonly materializers: Map<string, Materializer<any>>
}

export interface InputState {
  readonly tables: Readonly<Record<string, TableDefBase<any, any>>> | ReadonlyArray<TableDefBase<any, any>>
  readonly materializers: Readonly<Record<string, Materializer<any>>>
}

/** Puts tables and materializers together. */
export const makeState = <TState extends InputState>(input: TState): InternalState & { readonly Input: TState } => {
  const tables = new Map<string, TableDef.Any>()
  const given: ReadonlyArray<TableDefBase> = Array.isArray(input.tables) ? input.tables : Object.values(input.tables)
  for (const table of given) {
    const { name } = table.sqliteDef
    if (tables.has(name)) invalid(`Duplicate table name: ${name}. Please use unique names for tables.`)
    if (!Object.values<{ primaryKey: boolean }>(table.sqliteDef.columns).some(({ primaryKey }) => primaryKey)) {
      invalid(`the table ${name} has no primary key: give one of its columns \`primaryKey: true\``)
    }
    tables.set(name, table as TableDef.Any)
  }
  const state: InternalState = { sqlite: { tables }, materializers: new Map(Object.entries(input.materializers)) }
  return state as InternalState & { readonly Input: TState }
}

export interface LiveStoreSchema<TDb = any, TEvents extends EventDefRecord = EventDefRecord> {
  /** For types alone. */
  readonly _DbSchemaType: TDb
  /** For types alone. */
  readonly _EventDefMapType: TEvents
  readonly state: InternalState
  readonly eventsDefsMap: Map<string, EventDef.AnyWithoutFn>
  readonly unknownEventHandling: UnknownEvents.HandlingConfig
  readonly devtools: { readonly alias: string }
  readonly persistClientOnly: boolean
  readonly materializerVersion: number
}

export declare namespace LiveStoreSchema {
  export type Any = LiveStoreSchema<any, any>
}

export interface InputSchema {
  readonly events: ReadonlyArray<EventDef.AnyWithoutFn> | Readonly<Record<string, EventDef.AnyWithoutFn>>
  readonly state: InternalState
  readonly devtools?: { readonly alias?: string }
  /** What is done about events that other releases of the app have made. */
  readonly unknownEventHandling?: UnknownEvents.HandlingConfig
  /** Keeps client-only events that do not say otherwise, as LiveStore does. */
  readonly persistClientOnly?: boolean
  /** Another number derives the state anew; to be counted up when materializers change. */
  readonly materializerVersion?: number
}

type EventsOf<TEvents> =
  TEvents extends ReadonlyArray<infer TDef extends EventDef.AnyWithoutFn>
    ? { [K in TDef as K['name']]: K }
    : TEvents extends Record<string, EventDef.AnyWithoutFn>
      ? { [K in keyof TEvents as TEvents[K]['name']]: TEvents[K] }
      : never
type TablesOf<TState> = TState extends { readonly Input: { readonly tables: infer TTables } } ? TTables : never
type DocumentEvents<TTables> = {
  [K in keyof TTables as TTables[K] extends { readonly set: { readonly name: infer TName extends string } }
    ? TName
    : never]: TTables[K] extends { readonly set: infer TSet extends EventDef.AnyWithoutFn } ? TSet : never
}

export declare namespace FromInputSchema {
  export type DeriveSchema<TInput extends InputSchema> = LiveStoreSchema<
    TablesOf<TInput['state']>,
    EventsOf<TInput['events']> & DocumentEvents<TablesOf<TInput['state']>>
  >
}

/** Puts events and state together to what a store is made of. */
export const makeSchema = <TInput extends InputSchema>(input: TInput): FromInputSchema.DeriveSchema<TInput> => {
  const events = new Map<string, EventDef.AnyWithoutFn>()
  const given = Array.isArray(input.events) ? input.events : Object.values(input.events)
  for (const event of given as EventDef.AnyWithoutFn[]) {
    if (events.has(event.name)) invalid(`Duplicate event name: ${event.name}. Please use unique names for events.`)
    events.set(event.name, event)
  }
  for (const table of input.state.sqlite.tables.values()) {
    if (tableIsClientDocumentTable(table)) {
      const set = (table as unknown as ClientDocumentTableDef.Any).set as unknown as EventDef.AnyWithoutFn
      events.set(set.name, set)
    }
  }
  for (const name of input.state.materializers.keys()) {
    if (!events.has(name)) invalid(`there is a materializer of ${name}, which is no event of this schema`)
  }
  const schema: LiveStoreSchema = {
    _DbSchemaType: undefined,
    _EventDefMapType: undefined as never,
    state: input.state,
    eventsDefsMap: events,
    unknownEventHandling: input.unknownEventHandling ?? { strategy: 'warn' },
    devtools: { alias: input.devtools?.alias ?? 'default' },
    persistClientOnly: input.persistClientOnly ?? false,
    materializerVersion: input.materializerVersion ?? 0,
  }
  return schema as FromInputSchema.DeriveSchema<TInput>
}

const PARTS = ['state', 'eventsDefsMap', 'unknownEventHandling']
export const isLiveStoreSchema = (value: unknown): value is LiveStoreSchema.Any =>
  typeof value === 'object' && value !== null && PARTS.every((part) => part in value)

/** A column as the engine takes it. */
const describeColumn = (table: TableDefBase, name: string) => {
  const column = table.sqliteDef.columns[name]
  const given = column.default._tag === 'Some' ? column.default.value : undefined
  const isSql = typeof given === 'object' && given !== null && 'sql' in given
  if (isSql && columnInternals(column).kind !== 'json') {
    throw new LiveStoreError(
      'SchemaError',
      `${table.sqliteDef.name}.${name}: a default in SQL would be another one for each client; give a value`,
      { table: table.sqliteDef.name },
    )
  }
  // What a function gives is filled in by the query builder.
  const isValue = given !== undefined && typeof given !== 'function'
  return {
    name,
    type: column.columnType,
    nullable: column.nullable,
    primaryKey: column.primaryKey,
    autoIncrement: column.autoIncrement,
    ...(isValue ? { default: toJsonValue(encodeFor(table, name, given)) } : {}),
  }
}

const describeTable = (table: TableDefBase) => ({
  name: table.sqliteDef.name,
  ...tableInternals(table),
  columns: Object.keys(table.sqliteDef.columns).map((name) => describeColumn(table, name)),
  indexes: table.sqliteDef.indexes.map(({ name, columns, isUnique = false }) => ({ name, columns, unique: isUnique })),
})

/** The fields that are not to be used any more, with the reason. */
const deprecatedFields = (event: EventDef.AnyWithoutFn): Array<[string, string]> => {
  if (!isEffectSchema(event.schema)) return []
  effectSupport()
  const { ast } = event.schema as { ast: any }
  const fields: any[] = ast._tag === 'TypeLiteral' ? ast.propertySignatures : []
  return fields.flatMap((field) => {
    const why = field.annotations?.[DeprecatedId] ?? field.type?.annotations?.[DeprecatedId]
    return typeof why === 'string' ? [[String(field.name), why] as [string, string]] : []
  })
}

const kindOf = ({ options }: EventDef.AnyWithoutFn): string => {
  if (!options.clientOnly) return 'synced'
  if (options.persist === undefined) return 'clientOnly'
  return options.persist ? 'persisted' : 'memory'
}

/** A schema as the engine takes it. */
export const describeSchema = (schema: LiveStoreSchema) => {
  const all = [...schema.state.sqlite.tables.values()]
  return {
    tables: all.filter((table) => !table.options.isClientDocumentTable).map(describeTable),
    documents: all
      .filter((table) => table.options.isClientDocumentTable)
      .map((table) => ({
        name: table.sqliteDef.name,
        default: documentOf(table).encodedDefault() ?? null,
        bySession: documentOf(table).defaultId === SessionIdSymbol,
      })),
    events: [...schema.eventsDefsMap.values()]
      .filter((event) => !event.options.derived && schema.state.materializers.has(event.name))
      .map((event) => ({
        name: event.name,
        kind: kindOf(event),
        deprecated: event.options.deprecated ?? null,
        deprecatedFields: deprecatedFields(event),
      })),
    persistClientOnly: schema.persistClientOnly,
    materializerVersion: schema.materializerVersion,
  }
}
