import { type AnySchema, codecOf } from './codec.js'
import { LiveStoreError, reasonOf } from './errors.js'
import type { QueryBuilderAst } from './query-builder-types.js'
import { SessionIdSymbol } from './session-id.js'
import type { SqlValue } from './sql.js'
import { columnOf, encodeFor } from './stored.js'
import type { TableDefBase } from './table-types.js'

const quote = (name: string): string => `"${name.replaceAll('"', '""')}"`
const quoteTable = (table: TableDefBase): string => `'${table.sqliteDef.name.replaceAll("'", "''")}'`

/** An element of a column's JSON array as `json_each` gives it. */
export const elementOf = (table: TableDefBase, name: string, value: unknown): SqlValue => {
  const { custom } = columnOf(table, name)
  const encoded: unknown = custom === undefined ? value : encodeElement(table, name, custom, value)
  if (typeof encoded === 'boolean') return encoded ? 1 : 0
  return typeof encoded === 'object' && encoded !== null ? JSON.stringify(encoded) : (encoded as SqlValue)
}

/** An element as the schema of its list stores it. */
const encodeElement = (table: TableDefBase, name: string, list: AnySchema, value: unknown): unknown => {
  try {
    return (codecOf(list).encode([value]) as unknown[])[0]
  } catch (cause) {
    const why = reasonOf(cause)
    const { name: tableName } = table.sqliteDef
    throw new LiveStoreError('QueryError', `an element of ${tableName}.${name}: ${why}`, { cause, table: tableName })
  }
}

const whereSql = (
  table: TableDefBase,
  where: ReadonlyArray<QueryBuilderAst.Where>,
  binds: SqlValue[],
): string => {
  if (where.length === 0) return ''
  const encode = (col: string, value: unknown) =>
    // Whoever binds it puts the session's id in its place.
    value === SessionIdSymbol ? (value as never) : encodeFor(table, col, value)
  const one = ({ col, op, value }: QueryBuilderAst.Where): string => {
    const name = quote(col)
    if (value === null) return `${name} IS ${op === '=' ? '' : 'NOT '}NULL`
    if (op === 'IN' || op === 'NOT IN') {
      const list = value as unknown[]
      if (list.length === 0) return op === 'IN' ? '0=1' : '1=1'
      binds.push(...list.map((value) => encode(col, value)))
      return `${name} ${op} (${list.map(() => '?').join(', ')})`
    }
    if (op === 'JSON_CONTAINS' || op === 'JSON_NOT_CONTAINS') {
      binds.push(elementOf(table, col, value))
      const exists = op === 'JSON_CONTAINS' ? 'EXISTS' : 'NOT EXISTS'
      return `${exists} (SELECT 1 FROM json_each(${name}) WHERE value = ?)`
    }
    binds.push(encode(col, value))
    // LIKE does not tell ASCII letters in lower case from others as it is.
    return `${name} ${op.replace('ILIKE', 'LIKE')} ?`
  }
  return ` WHERE ${where.map(one).join(' AND ')}`
}

const returningSql = (columns: ReadonlyArray<string> | undefined): string =>
  columns === undefined || columns.length === 0 ? '' : ` RETURNING ${columns.map(quote).join(', ')}`

const insertSql = (ast: QueryBuilderAst.InsertQuery, binds: SqlValue[]): string => {
  const { tableDef, onConflict } = ast
  const names = Object.keys(ast.values)
  binds.push(...names.map((name) => encodeFor(tableDef, name, ast.values[name])))
  const into = `${quoteTable(tableDef)}`
  const values =
    names.length === 0
      ? 'DEFAULT VALUES'
      : `(${names.map(quote).join(', ')}) VALUES (${names.map(() => '?').join(', ')})`
  if (onConflict === undefined) return `INSERT INTO ${into} ${values}`
  if (onConflict.action === 'replace') return `INSERT OR REPLACE INTO ${into} ${values}`
  const start = `INSERT INTO ${into} ${values} ON CONFLICT (${onConflict.targets.map(quote).join(', ')}) DO `
  if (onConflict.action === 'ignore') return `${start}NOTHING`
  const sets = Object.entries(onConflict.update).map(([name, value]) => {
    if (value === undefined) return `${quote(name)} = excluded.${quote(name)}`
    binds.push(encodeFor(tableDef, name, value))
    return `${quote(name)} = ?`
  })
  return `${start}UPDATE SET ${sets.join(', ')}`
}

/** Writes a query or a write as SQL. */
export const writeSql = (
  ast: QueryBuilderAst,
): { query: string; bindValues: SqlValue[]; usedTables: Set<string> } => {
  const { tableDef } = ast
  const binds: SqlValue[] = []
  const from = quoteTable(tableDef)
  const text = (): string => {
    switch (ast._tag) {
      case 'SelectQuery': {
        const columns = ast.columns.length === 0 ? '*' : ast.columns.map(quote).join(', ')
        const where = whereSql(tableDef, ast.where, binds)
        const order = ast.orderBy.map(({ col, direction }) => `${quote(col)} ${direction === 'desc' ? 'desc' : 'asc'}`)
        const ordered = order.length === 0 ? '' : ` ORDER BY ${order.join(', ')}`
        if (ast.limit !== undefined) binds.push(ast.limit)
        if (ast.offset !== undefined) binds.push(ast.offset)
        // An offset alone is no SQL.
        const limit = ast.limit !== undefined ? ' LIMIT ?' : ast.offset === undefined ? '' : ' LIMIT -1'
        return `SELECT ${columns} FROM ${from}${where}${ordered}${limit}${ast.offset === undefined ? '' : ' OFFSET ?'}`
      }
      case 'CountQuery':
        return `SELECT COUNT(*) as count FROM ${from}${whereSql(tableDef, ast.where, binds)}`
      case 'RowQuery':
        binds.push(ast.id as never)
        return `SELECT * FROM ${from} WHERE id = ?`
      case 'InsertQuery':
        return insertSql(ast, binds) + returningSql(ast.returning)
      case 'UpdateQuery': {
        const names = Object.keys(ast.values)
        if (names.length === 0) {
          throw new LiveStoreError('QueryError', `an update of ${tableDef.sqliteDef.name} sets nothing`)
        }
        binds.push(...names.map((name) => encodeFor(tableDef, name, ast.values[name])))
        const sets = names.map((name) => `${quote(name)} = ?`).join(', ')
        return `UPDATE ${from} SET ${sets}${whereSql(tableDef, ast.where, binds)}${returningSql(ast.returning)}`
      }
      case 'DeleteQuery':
        return `DELETE FROM ${from}${whereSql(tableDef, ast.where, binds)}${returningSql(ast.returning)}`
    }
  }
  return { query: text(), bindValues: binds, usedTables: new Set([tableDef.sqliteDef.name]) }
}
