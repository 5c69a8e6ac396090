import { type AnySchema, codecOf, isEqual } from './codec.js'
import { columnInternals } from './columns.js'
import { documentOf } from './document-registry.js'
import { LiveStoreError, reasonOf } from './errors.js'
import { numberOf } from './identity.js'
import type { EngineRows } from './engine.js'
import type { QueryBuilderAst } from './query-builder-types.js'
import { Forms, jsonValuesOf } from './query-form.js'
import { type BindValues, type JsonValue, positional, wellFormed } from './sql.js'
import { decodeFor } from './stored.js'
import type { TableDefBase } from './table-types.js'

/** A row as the engine gives it: its values, in the order of the columns. */
export type RawRow = ReadonlyArray<unknown>

/** What the rows of a query are to the app. */
interface Decoding {
  readonly decode: (row: RawRow, names: () => ReadonlyArray<string>) => unknown
  /** What all rows are together. */
  readonly shape: (rows: ReadonlyArray<unknown>) => unknown
}

/** A query to be read once, as the engine takes it: its values come apart, so that the rest of it is known again. */
export interface CompiledRead extends Decoding {
  /** JSON. */
  readonly description: string
  /** JSON. */
  readonly values: string
}

/** A query as the engine takes it, with its values. */
export interface CompiledQuery extends Decoding {
  /** JSON. */
  readonly description: string
  /** What tells its value from those of other queries: the description, and what the rows are to the app. */
  readonly key: string
  /** What tells how a row is decoded. */
  readonly decodeKey: string
  /** Whether the value is the list of the rows. */
  readonly isList: boolean
}

/** What a query that was read is to the app. */
export const decodeAll = ({ decode, shape }: Decoding, rows: EngineRows): unknown => {
  const names = () => rows.columns ?? []
  return shape(rows.map((row) => decode(row, names)))
}

type Expr = object

const column = (table: TableDefBase, name: string): Expr => ({ column: { of: table.sqliteDef.name, name } })
const not = (expr: Expr): Expr => ({ not: expr })
const and = (...exprs: Expr[]): Expr => (exprs.length === 1 ? (exprs[0] as Expr) : { and: exprs })

const COMPARISONS: Record<string, string> = {
  '=': 'equal',
  '!=': 'not_equal',
  '<': 'less',
  '<=': 'at_most',
  '>': 'greater',
  '>=': 'at_least',
  LIKE: 'like',
  ILIKE: 'like',
}

/** Gives what stands for the values of a query, one after the other. */
type Next = () => JsonValue

const oneByOne = (values: ReadonlyArray<JsonValue>): Next => {
  let at = 0
  return () => values[at++] as JsonValue
}

const filterOf = (table: TableDefBase, { col, op, value }: QueryBuilderAst.Where, next: Next): Expr => {
  const left = column(table, col)
  const compare = (operator: string): Expr => ({ compare: { operator, left, right: { value: next() } } })
  // As in SQL, what is null is neither equal nor different, neither in a list nor outside it.
  const known = not({ is_null: left })
  if (value === null) return op === '=' ? { is_null: left } : known
  switch (op) {
    case '!=':
      return and(known, compare('not_equal'))
    case 'NOT LIKE':
    case 'NOT ILIKE':
      return and(known, not(compare('like')))
    case 'IN':
    case 'NOT IN': {
      const list = value as unknown[]
      if (list.length === 0) return op === 'IN' ? { or: [] } : { and: [] }
      const isIn: Expr = { in: { expr: left, list: list.map(() => ({ value: next() })) } }
      return op === 'IN' ? isIn : and(known, not(isIn))
    }
    case 'JSON_CONTAINS':
    case 'JSON_NOT_CONTAINS': {
      const contains: Expr = { contains: { json: left, element: { value: next() } } }
      return op === 'JSON_CONTAINS' ? contains : not(contains)
    }
    default:
      return compare(COMPARISONS[op] as string)
  }
}

const filtered = (table: TableDefBase, where: ReadonlyArray<QueryBuilderAst.Where>, next: Next) =>
  where.length === 0 ? {} : { filter: and(...where.map((one) => filterOf(table, one, next))) }

/** How a row of these columns is decoded. */
const rowDecoder = (table: TableDefBase, names: ReadonlyArray<string>): ((row: RawRow) => Record<string, unknown>) => {
  const codecs = names.map((name) => columnInternals(table.sqliteDef.columns[name]).codec)
  return (row) => {
    const decoded: Record<string, unknown> = {}
    for (let at = 0; at < names.length; at++) {
      const codec = codecs[at]!
      const name = names[at]!
      decoded[name] = codec.plain ? row[at] : decodeFor(table, name, row[at], codec)
    }
    return decoded
  }
}

const valueDecoder = (decodeRow: (row: RawRow) => Record<string, unknown>, name: string) => (row: RawRow): unknown =>
  decodeRow(row)[name]

const firstOf = (table: TableDefBase, first: QueryBuilderAst.First) => (rows: ReadonlyArray<unknown>): unknown => {
  if (rows.length > 0) return rows[0]
  switch (first.behaviour) {
    case 'fallback':
      return first.fallback()
    case 'error':
      throw new LiveStoreError('QueryError', `no row of ${table.sqliteDef.name} is what the query asks for`, {
        table: table.sqliteDef.name,
      })
    default:
      return undefined
  }
}

const firstKey = (first: QueryBuilderAst.First | undefined): string =>
  first?.behaviour === 'fallback' ? `fallback ${numberOf(first.fallback)}` : (first?.behaviour ?? 'all')

const all = (rows: ReadonlyArray<unknown>): unknown => rows

const firstRow = (rows: ReadonlyArray<unknown>): unknown => rows[0]

const firstValue = (row: RawRow): unknown => row[0]

const shapeOf = (ast: QueryBuilderAst.SelectQuery | QueryBuilderAst.CountQuery): Decoding['shape'] => {
  if (ast._tag === 'CountQuery') return firstRow
  return ast.first === undefined ? all : firstOf(ast.tableDef, ast.first)
}

/** What was made of queries that are read once. */
const reads = new Forms<Pick<CompiledQuery, 'description' | 'decode'>>()

/** Compiles a query of the builder to be read once. */
export const compileRead = (ast: QueryBuilderAst, sessionId: string): CompiledRead => {
  const values = jsonValuesOf(ast, sessionId)
  // What is null stays where it is, since it makes another statement.
  const make = () => compile(ast, oneByOne(values.map((value, at) => (value === null ? null : String(at)))))
  const json = wellFormed(JSON.stringify(values))
  if (ast._tag === 'SelectQuery' || ast._tag === 'CountQuery') {
    const { description, decode } = reads.get(ast, values, () => {
      const { description, decode } = make()
      return { description, decode }
    })
    return { description, values: json, decode, shape: shapeOf(ast) }
  }
  // How a document is decoded depends on its default.
  const { description, decode, shape } = make()
  return { description, values: json, decode, shape }
}

/** Compiles a query of the builder. */
export const compileAst = (ast: QueryBuilderAst, sessionId: string): CompiledQuery =>
  compile(ast, oneByOne(jsonValuesOf(ast, sessionId)))

const compile = (ast: QueryBuilderAst, next: Next): CompiledQuery => {
  const { tableDef } = ast
  const from = { table: tableDef.sqliteDef.name }
  switch (ast._tag) {
    case 'SelectQuery': {
      const names = ast.columns.length === 0 ? Object.keys(tableDef.sqliteDef.columns) : ast.columns
      const select = {
        from,
        columns: names.map((name) => ({ expr: column(tableDef, name) })),
        ...filtered(tableDef, ast.where, next),
        ...(ast.orderBy.length === 0
          ? {}
          : { order: ast.orderBy.map(({ col, direction }) => ({ expr: column(tableDef, col), direction: ORDER[direction] })) }),
        ...(ast.limit === undefined ? {} : { limit: ast.limit }),
        ...(ast.offset === undefined ? {} : { offset: ast.offset }),
      }
      const only = ast.pluck ? (names[0] as string) : undefined
      const decodeRow = rowDecoder(tableDef, names)
      const description = wellFormed(JSON.stringify({ select }))
      const decodeKey = `${only === undefined ? 'rows' : 'values'} of ${JSON.stringify([tableDef.sqliteDef.name, names])}`
      return {
        description,
        key: `${decodeKey} ${firstKey(ast.first)} ${description}`,
        decodeKey,
        decode: only === undefined ? decodeRow : valueDecoder(decodeRow, only),
        shape: shapeOf(ast),
        isList: ast.first === undefined,
      }
    }
    case 'CountQuery': {
      const columns = [{ expr: { aggregate: { function: 'count' } }, name: 'count' }]
      const select = { from, columns, ...filtered(tableDef, ast.where, next) }
      const description = wellFormed(JSON.stringify({ select }))
      return {
        description,
        key: `count ${description}`,
        decodeKey: 'count',
        decode: firstValue,
        shape: shapeOf(ast),
        isList: false,
      }
    }
    case 'RowQuery': {
      const filter = { compare: { operator: 'equal', left: column(tableDef, 'id'), right: { value: next() } } }
      const select = { from, columns: [{ expr: column(tableDef, 'value') }], filter }
      const document = documentOf(tableDef)
      const description = wellFormed(JSON.stringify({ select }))
      const decodeKey = `document ${JSON.stringify([tableDef.sqliteDef.name, document.keyOf(ast.explicitDefault)])}`
      return {
        description,
        key: `${decodeKey} ${description}`,
        decodeKey,
        decode: (row) => document.decode(row[0] as string, ast.explicitDefault),
        shape: (rows) => (rows.length > 0 ? rows[0] : document.initial(ast.explicitDefault)),
        isList: false,
      }
    }
    default:
      throw new LiveStoreError(
        'QueryError',
        `a query cannot write: ${ast._tag} of ${tableDef.sqliteDef.name} belongs into a materializer`,
        { table: tableDef.sqliteDef.name },
      )
  }
}

const ORDER = { asc: 'ascending', desc: 'descending' } as const

/** What schemas have made of rows. */
const madeBy = new WeakMap<object, WeakMap<object, unknown>>()

/** Decodes rows; what a schema makes of each stays the same object as long as it is equal. */
const decodeRows = (text: string, schema: AnySchema, rows: ReadonlyArray<unknown>): unknown => {
  const { decode } = codecOf(schema)
  let decoded: unknown
  try {
    decoded = decode(rows)
  } catch (cause) {
    const why = reasonOf(cause)
    throw new LiveStoreError('DecodeError', `the rows of ${text}: ${why}`, { cause })
  }
  if (!Array.isArray(decoded) || decoded.length !== rows.length) return decoded
  let made = madeBy.get(schema)
  if (made === undefined) madeBy.set(schema, (made = new WeakMap()))
  return decoded.map((value: unknown, at) => {
    const row = rows[at] as object
    const before = made.get(row)
    if (isEqual(before, value)) return before
    made.set(row, value)
    return value
  })
}

const columnsByName: Decoding['decode'] = (row, names) => {
  const decoded: Record<string, unknown> = {}
  const all = names()
  for (let at = 0; at < all.length; at++) decoded[all[at]!] = row[at]
  return decoded
}

const shapeOfSql = (text: string, schema: AnySchema | undefined): Decoding['shape'] =>
  schema === undefined ? all : (rows) => decodeRows(text, schema, rows)

/** Compiles SQL to be read once; a schema is one of the list of all rows. */
export const compileSqlRead = (
  text: string,
  values: BindValues | undefined,
  sessionId: string,
  schema: AnySchema | undefined,
): CompiledRead => ({
  description: wellFormed(JSON.stringify({ sql: { text } })),
  values: wellFormed(JSON.stringify(positional(text, values, sessionId))),
  decode: columnsByName,
  shape: shapeOfSql(text, schema),
})

/** Compiles SQL; a schema is one of the list of all rows. */
export const compileSql = (
  text: string,
  values: BindValues | undefined,
  sessionId: string,
  schema: AnySchema | undefined,
): CompiledQuery => {
  const binds: JsonValue[] = positional(text, values, sessionId)
  const description = wellFormed(JSON.stringify({ sql: { text, binds } }))
  return {
    description,
    key: `${schema === undefined ? 'sql' : `sql ${numberOf(schema as object)}`} ${description}`,
    decodeKey: `sql ${text}`,
    decode: columnsByName,
    shape: shapeOfSql(text, schema),
    isList: schema === undefined,
  }
}
