import type { ClientDocumentTableDef, ClientDocumentTableDefSymbol } from './client-document.js'
import type {
  Columns as AnyColumns,
  InsertRowDecoded as Insert,
  OptionalNames,
  RowDecoded as Decoded,
  RowEncoded as Encoded,
  TableDefBase,
} from './table-types.js'

type ColumnsOf<TTable extends TableDefBase> = TTable['sqliteDef']['columns']

/** What rows of a table are. */
export declare namespace FromTable {
  export type RowDecoded<TTable extends TableDefBase> = Decoded<ColumnsOf<TTable>>
  export type RowEncoded<TTable extends TableDefBase> = Encoded<ColumnsOf<TTable>>
  /** The types of the columns in SQLite. */
  export type Columns<TTable extends TableDefBase> = {
    [K in keyof ColumnsOf<TTable>]: ColumnsOf<TTable>[K]['columnType']
  }
}

/** What rows of columns are. */
export declare namespace FromColumns {
  export type RowDecoded<TColumns extends AnyColumns> = Decoded<TColumns>
  export type RowEncoded<TColumns extends AnyColumns> = Encoded<TColumns>
  export type InsertRowDecoded<TColumns extends AnyColumns> = Insert<TColumns>
  export type RequiredInsertColumnNames<TColumns extends AnyColumns> = Exclude<keyof TColumns, OptionalNames<TColumns>>
}

/** What one row of a table is, or one client document. */
export declare namespace RowQuery {
  export interface GetOrCreateOptions<TTable extends ClientDocumentTableDef.TraitAny> {
    /** What the document is as long as it was not set. */
    default: TTable[ClientDocumentTableDefSymbol]['options']['partialSet'] extends false
      ? TTable['Value']
      : Partial<TTable['Value']>
  }
  export type Result<TTable extends TableDefBase> = Decoded<ColumnsOf<TTable>>
  export type ResultEncoded<TTable extends TableDefBase> = TTable['options']['isClientDocumentTable'] extends true
    ? Encoded<ColumnsOf<TTable>>['value']
    : Encoded<ColumnsOf<TTable>>
  export type DocumentResult<TTable extends ClientDocumentTableDef.Any> = TTable['Value']
  export type GetIdColumnType<TTable extends TableDefBase> = ColumnsOf<TTable>['id']['schema']['Type']
}
