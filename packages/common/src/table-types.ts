import type { ColumnDefinition } from './columns.js'

export type Columns = Record<string, ColumnDefinition.Any>
export type Prettify<T> = { [K in keyof T]: T[K] } & {}

export interface Index {
  readonly name: string
  readonly columns: ReadonlyArray<string>
  readonly isUnique?: boolean
}

/**
 * An index of the words in text columns, of a table whose key is an integer.
 *
 * Its name is that of a table which SQL searches: `SELECT rowid FROM notes_text WHERE notes_text MATCH ?`; a row's
 * `rowid` there is its key. It needs the engine of `@livestore-rs/adapter-web/fts5`.
 */
export interface FullTextIndex {
  readonly name: string
  readonly columns: ReadonlyArray<string>
  /** How FTS5 finds words, such as `porter unicode61` or `trigram`; `unicode61` by default. */
  readonly tokenizer?: string
}

/** Who a table's rows are for: everybody, all sessions of this client, or this session as long as it lives. */
export type TableScope = 'synced' | 'client' | 'memory'

export interface TableDefinition<TName extends string = string, TColumns extends Columns = Columns> {
  readonly name: TName
  readonly columns: TColumns
  readonly indexes: ReadonlyArray<Index>
}

export interface TableOptions {
  readonly isClientDocumentTable: boolean
}

export type RowDecoded<TColumns extends Columns> = Prettify<{
  readonly [K in keyof TColumns]: TColumns[K]['schema']['Type']
}>
export type RowEncoded<TColumns extends Columns> = Prettify<{
  readonly [K in keyof TColumns]: TColumns[K]['schema']['Encoded']
}>

/** Columns that an insert may leave out: those that can be null, have a default or count up. */
export type OptionalNames<TColumns extends Columns> = keyof {
  [K in keyof TColumns as TColumns[K] extends
    | { readonly nullable: true }
    | { readonly default: { readonly _tag: 'Some' } }
    | { readonly autoIncrement: true }
    ? K
    : never]: unknown
}

/** Of a table of which nothing is known, anything may be inserted. */
type Insert<TColumns extends Columns, TSide extends 'Type' | 'Encoded'> = string extends keyof TColumns
  ? any
  : Prettify<
      { readonly [K in Exclude<keyof TColumns, OptionalNames<TColumns>>]: TColumns[K]['schema'][TSide] } & {
        readonly [K in OptionalNames<TColumns>]?: TColumns[K]['schema'][TSide] | undefined
      }
    >
export type InsertRowDecoded<TColumns extends Columns> = Insert<TColumns, 'Type'>
export type InsertRowEncoded<TColumns extends Columns> = Insert<TColumns, 'Encoded'>

export interface TableDefBase<
  TSqliteDef extends TableDefinition<string, any> = TableDefinition<string, any>,
  TOptions extends TableOptions = TableOptions,
> {
  readonly sqliteDef: TSqliteDef
  readonly options: TOptions
}
