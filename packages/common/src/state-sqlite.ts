export {
  type ClientDocumentTableDef,
  ClientDocumentTableDefSymbol,
  type ClientDocumentTableOptions,
  clientDocument,
  tableIsClientDocumentTable,
} from './client-document.js'
export { withAutoIncrement, withColumnType, withDefault, withPrimaryKey, withUnique } from './column-annotations.js'
export {
  blob,
  boolean,
  type ColumnDefinition,
  column,
  datetime,
  datetimeInteger,
  integer,
  isColumnDefinition,
  json,
  real,
  text,
} from './columns.js'
export { defineEvent, type EventDef, type EventDefRecord } from './events.js'
export {
  defineMaterializer,
  type Materializer,
  type MaterializerContextQuery,
  type MaterializerResult,
  materializers,
} from './materializers.js'
export type { FromColumns, FromTable } from './row-types.js'
export { type InputState, makeState } from './schema.js'
export { type TableDef, type TableOptionsInput, table } from './table.js'
export type { FullTextIndex, Index, TableDefBase, TableDefinition, TableOptions, TableScope } from './table-types.js'
