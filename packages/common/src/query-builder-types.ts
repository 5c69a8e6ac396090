import type { SessionIdSymbol } from './session-id.js'
import type { SqlValue } from './sql.js'
import type { InsertRowDecoded, RowDecoded, TableDefBase } from './table-types.js'

export const QueryBuilderTypeId: unique symbol = Symbol.for('QueryBuilder') as never
export type QueryBuilderTypeId = typeof QueryBuilderTypeId
export const QueryBuilderAstSymbol: unique symbol = Symbol.for('QueryBuilderAst') as never
export type QueryBuilderAstSymbol = typeof QueryBuilderAstSymbol

export type QueryBuilderAst =
  | QueryBuilderAst.SelectQuery
  | QueryBuilderAst.CountQuery
  | QueryBuilderAst.RowQuery
  | QueryBuilderAst.InsertQuery
  | QueryBuilderAst.UpdateQuery
  | QueryBuilderAst.DeleteQuery

export namespace QueryBuilderAst {
  export interface Where {
    readonly col: string
    readonly op: QueryBuilder.WhereOps
    readonly value: unknown
  }
  export interface OrderBy {
    readonly col: string
    readonly direction: 'asc' | 'desc'
  }
  export type First =
    | { readonly behaviour: 'undefined' }
    | { readonly behaviour: 'error' }
    | { readonly behaviour: 'fallback'; readonly fallback: () => unknown }
  export interface SelectQuery {
    readonly _tag: 'SelectQuery'
    readonly tableDef: TableDefBase
    /** All columns, if there are none. */
    readonly columns: ReadonlyArray<string>
    /** True if rows are the values of the one column. */
    readonly pluck: boolean
    readonly where: ReadonlyArray<Where>
    readonly orderBy: ReadonlyArray<OrderBy>
    readonly limit: number | undefined
    readonly offset: number | undefined
    /** What the first row stands for, if it stands for all. */
    readonly first: First | undefined
  }
  export interface CountQuery {
    readonly _tag: 'CountQuery'
    readonly tableDef: TableDefBase
    readonly where: ReadonlyArray<Where>
  }
  /** The value of a client document. */
  export interface RowQuery {
    readonly _tag: 'RowQuery'
    readonly tableDef: TableDefBase
    readonly id: string | SessionIdSymbol
    readonly explicitDefault: unknown
  }
  export interface OnConflict {
    readonly targets: ReadonlyArray<string>
    readonly action: 'ignore' | 'replace' | 'update'
    readonly update: Record<string, unknown>
  }
  export interface InsertQuery {
    readonly _tag: 'InsertQuery'
    readonly tableDef: TableDefBase
    readonly values: Record<string, unknown>
    readonly onConflict: OnConflict | undefined
    readonly returning: ReadonlyArray<string> | undefined
  }
  export interface UpdateQuery {
    readonly _tag: 'UpdateQuery'
    readonly tableDef: TableDefBase
    readonly values: Record<string, unknown>
    readonly where: ReadonlyArray<Where>
    readonly returning: ReadonlyArray<string> | undefined
  }
  export interface DeleteQuery {
    readonly _tag: 'DeleteQuery'
    readonly tableDef: TableDefBase
    readonly where: ReadonlyArray<Where>
    readonly returning: ReadonlyArray<string> | undefined
  }
  export type WriteQuery = InsertQuery | UpdateQuery | DeleteQuery
}

type ColumnsOf<TTable extends TableDefBase> = TTable['sqliteDef']['columns']
type ColumnName<TTable extends TableDefBase> = keyof ColumnsOf<TTable> & string
type ColumnType<TTable extends TableDefBase, K extends keyof ColumnsOf<TTable>> = ColumnsOf<TTable>[K]['schema']['Type']
type Element<T> = T extends ReadonlyArray<infer E> ? E : never
type OneOf<T> = T extends ReadonlyArray<infer E> ? E : never

/** A query, or a write for a materializer, as a value. */
export type QueryBuilder<
  TResult,
  TTable extends TableDefBase,
  TWithout extends QueryBuilder.ApiFeature = never,
> = QueryBuilder.Base<TResult> & Omit<QueryBuilder.ApiFull<TResult, TTable, TWithout>, TWithout>

export declare namespace QueryBuilder {
  export type Any = QueryBuilder<any, any, any>

  export interface Base<TResult> {
    readonly [QueryBuilderTypeId]: QueryBuilderTypeId
    readonly [QueryBuilderAstSymbol]: QueryBuilderAst
    /** For types alone. */
    readonly ResultType: TResult
    readonly asSql: () => { query: string; bindValues: SqlValue[]; usedTables: Set<string> }
    readonly toString: () => string
  }

  export type WhereOps = WhereOps.SingleValue | WhereOps.MultiValue
  export namespace WhereOps {
    export type Equality = '=' | '!='
    export type Order = '<' | '>' | '<=' | '>='
    export type Like = 'LIKE' | 'NOT LIKE' | 'ILIKE' | 'NOT ILIKE'
    export type In = 'IN' | 'NOT IN'
    export type JsonArray = 'JSON_CONTAINS' | 'JSON_NOT_CONTAINS'
    export type SingleValue = Equality | Order | Like | JsonArray
    export type MultiValue = In
  }

  export type ApiFeature =
    | 'select'
    | 'where'
    | 'count'
    | 'orderBy'
    | 'offset'
    | 'limit'
    | 'first'
    | 'row'
    | 'insert'
    | 'update'
    | 'delete'
    | 'returning'
    | 'onConflict'

  type WriteOnly = 'returning' | 'onConflict'
  type Reading = 'select' | 'count' | 'orderBy' | 'first' | 'offset' | 'limit'

  type WhereValue<T> =
    | T
    | { readonly op: Exclude<WhereOps.SingleValue, WhereOps.JsonArray>; readonly value: T }
    | { readonly op: WhereOps.MultiValue; readonly value: ReadonlyArray<T> }
    | ([Element<T>] extends [never] ? never : { readonly op: WhereOps.JsonArray; readonly value: Element<T> })
    | undefined

  export type WhereParams<TTable extends TableDefBase> = {
    readonly [K in keyof ColumnsOf<TTable>]?: WhereValue<ColumnType<TTable, K>>
  }
  export type OrderByParams<TTable extends TableDefBase> = ReadonlyArray<{
    readonly col: ColumnName<TTable>
    readonly direction: 'asc' | 'desc'
  }>
  export type FirstQueryBehaviour<TResult, TFallback> =
    | { behaviour: 'error' }
    | { behaviour: 'undefined' }
    | { behaviour: 'fallback'; fallback: () => TResult | TFallback }

  type FirstResult<TResult, TBehaviour> = TBehaviour extends { behaviour: 'fallback'; fallback: () => infer F }
    ? F | OneOf<TResult>
    : TBehaviour extends { behaviour: 'error' }
      ? OneOf<TResult>
      : OneOf<TResult> | undefined

  export interface ApiFull<TResult, TTable extends TableDefBase, TWithout extends ApiFeature> {
    /** Selects one column, of which the values are the rows, or several. */
    readonly select: {
      <K extends ColumnName<TTable>>(
        column: K,
      ): QueryBuilder<ReadonlyArray<ColumnType<TTable, K>>, TTable, TWithout | 'row' | 'select' | WriteOnly>
      <K extends ColumnName<TTable>>(
        ...columns: K[]
      ): QueryBuilder<
        ReadonlyArray<{ readonly [Name in K]: ColumnType<TTable, Name> }>,
        TTable,
        TWithout | 'row' | 'select' | 'count' | WriteOnly
      >
    }
    /** Keeps the rows for which this holds as well. */
    readonly where: {
      (params: WhereParams<TTable>): QueryBuilder<TResult, TTable, TWithout | 'row' | 'select'>
      <K extends keyof ColumnsOf<TTable>>(
        col: K,
        value: ColumnType<TTable, K>,
      ): QueryBuilder<TResult, TTable, TWithout | 'row' | 'select'>
      <K extends keyof ColumnsOf<TTable>>(
        col: K,
        op: WhereOps.MultiValue,
        value: ReadonlyArray<ColumnType<TTable, K>>,
      ): QueryBuilder<TResult, TTable, TWithout | 'row' | 'select'>
      <K extends keyof ColumnsOf<TTable>>(
        col: K,
        op: WhereOps.JsonArray,
        value: Element<ColumnType<TTable, K>>,
      ): QueryBuilder<TResult, TTable, TWithout | 'row' | 'select'>
      <K extends keyof ColumnsOf<TTable>>(
        col: K,
        op: WhereOps.SingleValue,
        value: ColumnType<TTable, K>,
      ): QueryBuilder<TResult, TTable, TWithout | 'row' | 'select'>
    }
    readonly count: () => QueryBuilder<number, TTable, TWithout | 'row' | Reading | WriteOnly>
    readonly orderBy: {
      <const K extends ColumnName<TTable>>(
        col: K,
        direction: 'asc' | 'desc',
      ): QueryBuilder<TResult, TTable, TWithout | WriteOnly>
      <const TParams extends OrderByParams<TTable>>(params: TParams): QueryBuilder<TResult, TTable, TWithout | WriteOnly>
    }
    readonly offset: (
      offset: number,
    ) => QueryBuilder<TResult, TTable, TWithout | 'row' | 'offset' | 'orderBy' | WriteOnly>
    readonly limit: (
      limit: number,
    ) => QueryBuilder<TResult, TTable, TWithout | 'row' | 'limit' | 'offset' | 'first' | 'orderBy' | WriteOnly>
    /** Takes the first row alone; `undefined` if there is none and nothing else is said. */
    readonly first: <
      TBehaviour extends FirstQueryBehaviour<OneOf<TResult>, TFallback> = { behaviour: 'undefined' },
      TFallback = never,
    >(
      behaviour?: FirstQueryBehaviour<OneOf<TResult>, TFallback> & TBehaviour,
    ) => QueryBuilder<
      FirstResult<TResult, TBehaviour>,
      TTable,
      TWithout | 'row' | 'first' | 'orderBy' | 'select' | 'limit' | 'offset' | 'where' | WriteOnly
    >
    readonly insert: (
      values: InsertRowDecoded<ColumnsOf<TTable>>,
    ) => QueryBuilder<TResult, TTable, TWithout | 'row' | Reading | 'where'>
    readonly onConflict: {
      <K extends keyof ColumnsOf<TTable>>(
        target: K | ReadonlyArray<K>,
        action: 'ignore' | 'replace',
      ): QueryBuilder<TResult, TTable, TWithout | 'row' | Reading | 'where'>
      <K extends keyof ColumnsOf<TTable>>(
        target: K | ReadonlyArray<K>,
        action: 'update',
        updateValues: Partial<RowDecoded<ColumnsOf<TTable>>>,
      ): QueryBuilder<TResult, TTable, TWithout | 'row' | Reading | 'where'>
    }
    readonly returning: <K extends ColumnName<TTable>>(
      ...columns: K[]
    ) => QueryBuilder<ReadonlyArray<{ readonly [Name in K]: ColumnType<TTable, Name> }>, TTable>
    readonly update: (
      values: Partial<RowDecoded<ColumnsOf<TTable>>>,
    ) => QueryBuilder<TResult, TTable, TWithout | 'row' | Reading | 'onConflict'>
    readonly delete: () => QueryBuilder<TResult, TTable, TWithout | 'row' | Reading | 'onConflict'>
  }
}
