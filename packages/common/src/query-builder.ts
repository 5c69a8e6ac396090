import { LiveStoreError } from './errors.js'
import {
  type QueryBuilder,
  type QueryBuilderAst,
  QueryBuilderAstSymbol,
  QueryBuilderTypeId,
} from './query-builder-types.js'
import { takesElement, takesList } from './query-form.js'
import { writeSql } from './query-sql.js'
import { columnOf } from './stored.js'
import type { Columns, TableDefBase } from './table-types.js'

type Ast = QueryBuilderAst
type Where = QueryBuilderAst.Where

const refuse = (why: string): never => {
  throw new LiveStoreError('QueryError', why)
}

const show = (value: unknown): string => (typeof value === 'string' ? `'${value}'` : String(value))

const OPERATORS = new Set<string>([
  ...['=', '!=', '<', '>', '<=', '>='],
  ...['LIKE', 'NOT LIKE', 'ILIKE', 'NOT ILIKE', 'IN', 'NOT IN', 'JSON_CONTAINS', 'JSON_NOT_CONTAINS'],
])

const ACTIONS = new Set<string>(['ignore', 'replace', 'update'])
const DIRECTIONS = new Set<string>(['asc', 'desc'])

/** What looks like an operation is a value where values can look like that. */
const isOperation = (table: TableDefBase, col: string, value: unknown): value is { op: unknown; value: unknown } => {
  if (typeof value !== 'object' || value === null || !('op' in value && 'value' in value)) return false
  const { kind, custom } = columnOf(table, col)
  return OPERATORS.has(value.op as string) || (kind !== 'json' && custom === undefined)
}

const conditions = (table: TableDefBase, params: unknown[]): Where[] => {
  if (params.length === 1) {
    const given = params[0] as Record<string, unknown>
    const found: Where[] = []
    for (const col of Object.keys(given)) {
      const value = given[col]
      if (value === undefined) continue
      found.push(isOperation(table, col, value) ? condition(table, col, value.op, value.value) : condition(table, col, '=', value))
    }
    return found
  }
  const [col, ...rest] = params as [string, ...unknown[]]
  return [rest.length === 1 ? condition(table, col, '=', rest[0]) : condition(table, col, rest[0], rest[1])]
}

const condition = (table: TableDefBase, col: string, op: unknown, value: unknown): Where => {
  const { kind } = columnOf(table, col)
  if (!OPERATORS.has(op as string)) refuse(`there is no operator ${String(op)}`)
  if (takesElement(op as Where['op']) && kind !== 'json') {
    refuse(`${op} is for columns of JSON, and ${table.sqliteDef.name}.${col} is one of ${kind}`)
  }
  if (value === null && op !== '=' && op !== '!=') refuse(`null is compared with = and !=, not with ${String(op)}`)
  if (takesList(op as Where['op']) && !Array.isArray(value)) refuse(`${op} takes a list of values`)
  return { col, op: op as QueryBuilder.WhereOps, value }
}

/** The values that are given, of columns that the table has. */
const defined = (table: TableDefBase, values: object): Record<string, unknown> => {
  const given: Record<string, unknown> = {}
  for (const name of Object.keys(values)) {
    const value = (values as Record<string, unknown>)[name]
    if (value === undefined) continue
    columnOf(table, name)
    given[name] = value
  }
  return given
}

const expectColumns = (table: TableDefBase, names: ReadonlyArray<string>): void => {
  for (const name of names) columnOf(table, name)
}

const whole = (what: string, number: number): number =>
  Number.isInteger(number) && number >= 0 && number < 2 ** 32
    ? number
    : refuse(`${what} takes a whole number that is not negative, and not ${number}`)

export const emptySelect = (tableDef: TableDefBase): QueryBuilderAst.SelectQuery => ({
  _tag: 'SelectQuery',
  tableDef,
  columns: [],
  pluck: false,
  where: [],
  orderBy: [],
  limit: undefined,
  offset: undefined,
  first: undefined,
})

/** Builds queries step by step; each step is another value. */
export class Builder {
  readonly [QueryBuilderTypeId] = QueryBuilderTypeId as QueryBuilderTypeId
  readonly [QueryBuilderAstSymbol]: Ast
  readonly ResultType = undefined as any

  constructor(ast: Ast) {
    this[QueryBuilderAstSymbol] = ast
  }

  get #ast(): Ast {
    return this[QueryBuilderAstSymbol]
  }

  #select(): QueryBuilderAst.SelectQuery {
    const ast = this.#ast
    return ast._tag === 'SelectQuery' ? ast : refuse(`this is a ${ast._tag}, and takes no part of a selection`)
  }

  select(...columns: string[]): Builder {
    const ast = this.#select()
    expectColumns(ast.tableDef, columns)
    return new Builder({ ...ast, columns, pluck: columns.length === 1 })
  }

  where(...params: unknown[]): Builder {
    const ast = this.#ast
    if (ast._tag === 'InsertQuery' || ast._tag === 'RowQuery') return refuse(`a ${ast._tag} takes no condition`)
    return new Builder({ ...ast, where: [...ast.where, ...conditions(ast.tableDef, params)] })
  }

  count(): Builder {
    const { tableDef, where } = this.#select()
    return new Builder({ _tag: 'CountQuery', tableDef, where })
  }

  orderBy(...params: unknown[]): Builder {
    const ast = this.#select()
    const [first, direction] = params
    const more = (typeof first === 'string' ? [{ col: first, direction }] : first) as QueryBuilderAst.OrderBy[]
    for (const { col, direction } of more) {
      columnOf(ast.tableDef, col)
      if (!DIRECTIONS.has(direction)) refuse(`rows are ordered by ${col} 'asc' or 'desc', and not ${show(direction)}`)
    }
    return new Builder({ ...ast, orderBy: [...ast.orderBy, ...more] })
  }

  limit(limit: number): Builder {
    return new Builder({ ...this.#select(), limit: whole('limit', limit) })
  }

  offset(offset: number): Builder {
    return new Builder({ ...this.#select(), offset: whole('offset', offset) })
  }

  first(behaviour: QueryBuilderAst.First = { behaviour: 'undefined' }): Builder {
    const ast = this.#select()
    if (ast.limit !== undefined) return refuse('first() takes one row, so that a limit before it means nothing')
    return new Builder({ ...ast, limit: 1, first: behaviour })
  }

  insert(values: object): Builder {
    const { tableDef } = this.#select()
    return new Builder({
      _tag: 'InsertQuery',
      tableDef,
      values: completed(tableDef, defined(tableDef, values)),
      onConflict: undefined,
      returning: undefined,
    })
  }

  onConflict(target: string | string[], action: QueryBuilderAst.OnConflict['action'], update: object = {}): Builder {
    const ast = this.#ast
    if (ast._tag !== 'InsertQuery') return refuse('onConflict() belongs to an insert')
    const targets = Array.isArray(target) ? target : [target]
    if (!ACTIONS.has(action)) refuse(`onConflict() takes 'ignore', 'replace' or 'update', and not ${show(action)}`)
    expectColumns(ast.tableDef, [...targets, ...Object.keys(update)])
    if (action === 'update' && Object.keys(update).length === 0) {
      return refuse('onConflict(…, "update", …) needs a column to update')
    }
    return new Builder({ ...ast, onConflict: { targets, action, update: action === 'update' ? { ...update } : {} } })
  }

  returning(...columns: string[]): Builder {
    const ast = this.#ast
    if (ast._tag !== 'InsertQuery' && ast._tag !== 'UpdateQuery' && ast._tag !== 'DeleteQuery') {
      return refuse('returning() belongs to a write')
    }
    expectColumns(ast.tableDef, columns)
    return new Builder({ ...ast, returning: columns })
  }

  update(values: object): Builder {
    const { tableDef, where } = this.#select()
    return new Builder({ _tag: 'UpdateQuery', tableDef, values: defined(tableDef, values), where, returning: undefined })
  }

  delete(): Builder {
    const { tableDef, where } = this.#select()
    return new Builder({ _tag: 'DeleteQuery', tableDef, where, returning: undefined })
  }

  /** The query as SQL that selects the same rows. */
  asSql() {
    return writeSql(this.#ast)
  }

  toString(): string {
    return this.asSql().query
  }
}

/** Adds what functions give as defaults: the database knows only those that are values. */
const completed = (table: TableDefBase, values: Record<string, unknown>): Record<string, unknown> => {
  const columns: Columns = table.sqliteDef.columns
  for (const name of Object.keys(columns)) {
    if (Object.hasOwn(values, name)) continue
    const given = columns[name]!.default
    if (given._tag === 'Some' && typeof given.value === 'function') values[name] = given.value()
    else if (!columnOf(table, name).optional) refuse(`an insert into ${table.sqliteDef.name} has no value for ${name}`)
  }
  return values
}

export const isQueryBuilder = (value: unknown): value is QueryBuilder<any, any, any> =>
  typeof value === 'object' && value !== null && QueryBuilderTypeId in value

export const astOf = (builder: QueryBuilder.Any): QueryBuilderAst => builder[QueryBuilderAstSymbol]
