export { nanoid } from 'nanoid'

export type {
  Adapter,
  AdapterArgs,
  AdapterMode,
  InitialSyncOptions,
  OpenedStore,
  SyncBackend,
  SyncOptions,
  TokenRequest,
} from './adapter.js'
export type { BootStatus, Progress } from './boot-status.js'
// Of what stands in the types of tables, all has a name here, for apps that write declarations of theirs.
export type { ClientDocumentTableDef, ClientDocumentTableOptions } from './client-document.js'
export { type AnySchema, deepEqual } from './codec.js'
export type { ColumnDefinition } from './columns.js'
export {
  type CreateStoreOptions,
  type CreateStoreOptionsPromise,
  createStore,
  createStorePromise,
  type MigrationsReport,
} from './create-store.js'
export { deprecated } from './deprecated.js'
export { Schema } from './effect-schema.js'
export { LiveStoreError } from './errors.js'
export { EventSequenceNumber } from './event-sequence-number.js'
export type { StoreEventsOptions } from './event-stream.js'
export { clientOnly, defineEvent, type EventDef, type EventDefRecord, type PartialEvent, synced } from './events.js'
export * as Events from './events-namespace.js'
export type { DiffStep } from './live.js'
export {
  computed,
  isLiveQueryDef,
  isLiveQueryInstance,
  isQueryable,
  type QueryInput,
  type QueryInputRaw,
  queryDb,
  signal,
} from './live-queries.js'
export type { DepKey, GetAtomResult, LiveQuery, LiveQueryDef, Queryable, Signal, SignalDef } from './live-query-types.js'
export type { LiveStoreEvent } from './live-store-event.js'
export {
  defineMaterializer,
  type Materializer,
  type MaterializerContext,
  type MaterializerContextQuery,
  type MaterializerResult,
  materializers,
} from './materializers.js'
export type { QueryBuilder, QueryBuilderAst } from './query-builder-types.js'
export { CommitReceipt, type Durability, type Fate, type Positions } from './receipt.js'
export { type RegistryStoreOptions, StoreRegistry, storeOptions } from './registry.js'
export type { RowQuery } from './row-types.js'
export {
  type FromInputSchema,
  type InputSchema,
  type InternalState,
  isLiveStoreSchema,
  type LiveStoreSchema,
  makeSchema,
} from './schema.js'
export type { InputEvent } from './group.js'
export { SessionIdSymbol } from './session-id.js'
export { type Bindable, type BindValues, type PreparedBindValues, prepareBindValues, type SqlValue, sql } from './sql.js'
export * as State from './state.js'
// All of it, so that bindings can add to the type of `Store`.
export * from './store.js'
export type { ConnectionState, NetworkStatus, SyncStatus } from './sync-status.js'
export type { TableDef } from './table.js'
export type { TableDefBase, TableDefinition } from './table-types.js'
export type { UnknownEvents } from './unknown-events.js'
export { liveStoreVersion } from './version.js'
