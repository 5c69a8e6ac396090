import type { Schema } from 'effect/Schema'

import { effectSupport } from './codec.js'
import { columnInternals, type ColumnDefinition, isColumnDefinition, makeColumn } from './columns.js'
import { LiveStoreError } from './errors.js'
import { Builder, emptySelect } from './query-builder.js'
import type { QueryBuilder } from './query-builder-types.js'
import type {
  Columns,
  FullTextIndex,
  Index,
  InsertRowDecoded,
  InsertRowEncoded,
  Prettify,
  RowDecoded,
  RowEncoded,
  TableDefBase,
  TableDefinition,
  TableOptions,
  TableScope,
} from './table-types.js'

export type TableDef<
  TSqliteDef extends TableDefinition<string, any> = TableDefinition<string, any>,
  TOptions extends TableOptions = TableOptions,
> = TableDefBase<TSqliteDef, TOptions> & {
  /** For types alone: a row. */
  readonly Type: RowDecoded<TSqliteDef['columns']>
  /** For types alone: a row as it is stored. */
  readonly Encoded: RowEncoded<TSqliteDef['columns']>
  /** A row as a schema of Effect; needs the app to use Effect's schemas. */
  readonly rowSchema: Schema<RowDecoded<TSqliteDef['columns']>, RowEncoded<TSqliteDef['columns']>>
  readonly insertSchema: Schema<InsertRowDecoded<TSqliteDef['columns']>, InsertRowEncoded<TSqliteDef['columns']>>
} & QueryBuilder<ReadonlyArray<RowDecoded<TSqliteDef['columns']>>, TableDefBase<TSqliteDef, TOptions>>

export declare namespace TableDef {
  /** Any table; nothing is known of its rows. */
  export type Any = TableDefBase<any, any> & {
    readonly Type: any
    readonly Encoded: any
    readonly rowSchema: Schema<any, any>
    readonly insertSchema: Schema<any, any>
  } & QueryBuilder<any, TableDefBase<any, any>>
}

export interface TableOptionsInput {
  readonly indexes?: ReadonlyArray<Index>
  /** By what words rows are found; not of LiveStore. */
  readonly fullText?: ReadonlyArray<FullTextIndex>
  /** Who the rows are for; events that stay on the client cannot write what is for everybody. */
  readonly scope?: TableScope
}

/** What the engine is told of a table besides its columns. */
interface TableInternals {
  readonly scope: TableScope
  readonly fullText: ReadonlyArray<FullTextIndex>
}

const internals = new WeakMap<object, TableInternals>()

export const tableInternals = (table: TableDefBase): TableInternals =>
  internals.get(table) ?? { scope: 'synced', fullText: [] }

class Table extends Builder {
  readonly Type = undefined
  readonly Encoded = undefined

  constructor(
    readonly sqliteDef: TableDefinition,
    readonly options: TableOptions,
  ) {
    const ast = emptySelect(undefined as never)
    super(ast)
    // A table is its own selection of all rows.
    Object.assign(ast, { tableDef: this })
  }

  get rowSchema(): Schema<any, any> {
    return effectSupport().rowSchema(this.#columns(), false, this.sqliteDef.name)
  }

  get insertSchema(): Schema<any, any> {
    return effectSupport().rowSchema(this.#columns(), true, this.sqliteDef.name)
  }

  #columns() {
    const columns = Object.entries(this.sqliteDef.columns)
    return Object.fromEntries(columns.map(([name, column]) => [name, columnInternals(column)]))
  }
}

/** Makes a table of what is known of it. */
export const makeTable = (
  name: string,
  columns: Columns,
  { indexes = [], scope = 'synced', fullText = [] }: TableOptionsInput,
  options: TableOptions = { isClientDocumentTable: false },
): TableDef.Any => {
  if (Object.keys(columns).length === 0) throw new LiveStoreError('SchemaError', `the table ${name} has no columns`)
  for (const [column, definition] of Object.entries(columns)) {
    if (!isColumnDefinition(definition)) {
      throw new LiveStoreError('SchemaError', `${name}.${column} is no column: make it with State.SQLite.text and the like`, {
        table: name,
      })
    }
  }
  const table = new Table({ name, columns, indexes }, options)
  internals.set(table, { scope, fullText })
  return table as unknown as TableDef.Any
}

type ColumnsInput = Columns | ColumnDefinition.Any
type ToColumns<T extends ColumnsInput> = T extends ColumnDefinition.Any ? { value: T } : T extends Columns ? T : never
type IsNullable<T> = null extends T ? true : undefined extends T ? true : false
type SchemaColumns<TType, TEncoded> = {
  [K in keyof TEncoded & keyof TType]-?: ColumnDefinition<OrNull<TEncoded[K]>, OrNull<TType[K]>, IsNullable<TEncoded[K]>>
}
/** A column has no undefined: what may be missing is null. */
type OrNull<T> = undefined extends T ? Exclude<T, undefined> | null : T
type OfTable<TName extends string, TColumns extends Columns> = TableDef<
  TableDefinition<TName, Prettify<TColumns>>,
  { readonly isClientDocumentTable: false }
>

/** Defines a table, by its columns or by a schema of Effect for its rows. */
export function table<const TName extends string, TColumns extends ColumnsInput>(
  args: { readonly name: TName; readonly columns: TColumns } & TableOptionsInput,
): OfTable<TName, ToColumns<TColumns>>
export function table<const TName extends string, TType, TEncoded>(
  args: { readonly name: TName; readonly schema: Schema<TType, TEncoded> } & TableOptionsInput,
): OfTable<TName, SchemaColumns<TType, TEncoded>>
export function table<TType, TEncoded>(
  args: { readonly schema: Schema<TType, TEncoded> } & TableOptionsInput,
): OfTable<string, SchemaColumns<TType, TEncoded>>
export function table(
  args: { name?: string; columns?: ColumnsInput; schema?: Schema<any, any> } & TableOptionsInput,
): TableDef.Any {
  if (args.columns !== undefined) {
    const columns = isColumnDefinition(args.columns) ? { value: args.columns } : (args.columns as Columns)
    return makeTable(args.name as string, columns, args)
  }
  if (args.schema === undefined) throw new LiveStoreError('SchemaError', 'a table needs columns or a schema')
  const found = effectSupport().table(args.schema)
  const name = args.name ?? found.name
  if (name === undefined) {
    throw new LiveStoreError('SchemaError', 'a table of a schema needs a name, or a schema with a title or an identifier')
  }
  const fields = Object.entries(found.columns)
  const columns = Object.fromEntries(fields.map(([column, field]) => [column, makeColumn(field.kind, field)]))
  const indexes = fields
    .filter(([, field]) => field.unique)
    .map(([column]) => ({ name: `idx_${name}_${column}_unique`, columns: [column], isUnique: true }))
  return makeTable(name, columns, { ...args, indexes: [...(args.indexes ?? []), ...indexes] })
}
