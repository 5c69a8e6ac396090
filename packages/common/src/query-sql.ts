import { LiveStoreError } from './errors.js'
import type { QueryBuilderAst } from './query-builder-types.js'
import { takesElement, takesList, valuesOf } from './query-form.js'
import type { SqlValue } from './sql.js'
import type { TableDefBase } from './table-types.js'

const quote = (name: string): string => `"${name.replaceAll('"', '""')}"`
const quoteTable = (table: TableDefBase): string => `'${table.sqliteDef.name.replaceAll("'", "''")}'`

const whereSql = (where: ReadonlyArray<QueryBuilderAst.Where>): string => {
  if (where.length === 0) return ''
  const one = ({ col, op, value }: QueryBuilderAst.Where): string => {
    const name = quote(col)
    if (value === null) return `${name} IS ${op === '=' ? '' : 'NOT '}NULL`
    if (takesList(op)) {
      const list = value as unknown[]
      if (list.length === 0) return op === 'IN' ? '0=1' : '1=1'
      return `${name} ${op} (${list.map(() => '?').join(', ')})`
    }
    if (takesElement(op)) {
      const exists = op === 'JSON_CONTAINS' ? 'EXISTS' : 'NOT EXISTS'
      return `${exists} (SELECT 1 FROM json_each(${name}) WHERE value = ?)`
    }
    // LIKE does not tell ASCII letters in lower case from others as it is.
    return `${name} ${op.replace('ILIKE', 'LIKE')} ?`
  }
  return ` WHERE ${where.map(one).join(' AND ')}`
}

const returningSql = (columns: ReadonlyArray<string> | undefined): string =>
  columns === undefined || columns.length === 0 ? '' : ` RETURNING ${columns.map(quote).join(', ')}`

const insertSql = (ast: QueryBuilderAst.InsertQuery): string => {
  const { tableDef, onConflict } = ast
  const names = Object.keys(ast.values)
  const into = `${quoteTable(tableDef)}`
  const values =
    names.length === 0
      ? 'DEFAULT VALUES'
      : `(${names.map(quote).join(', ')}) VALUES (${names.map(() => '?').join(', ')})`
  if (onConflict === undefined) return `INSERT INTO ${into} ${values}`
  if (onConflict.action === 'replace') return `INSERT OR REPLACE INTO ${into} ${values}`
  const start = `INSERT INTO ${into} ${values} ON CONFLICT (${onConflict.targets.map(quote).join(', ')}) DO `
  if (onConflict.action === 'ignore') return `${start}NOTHING`
  const sets = Object.entries(onConflict.update).map(([name, value]) =>
    value === undefined ? `${quote(name)} = excluded.${quote(name)}` : `${quote(name)} = ?`,
  )
  return `${start}UPDATE SET ${sets.join(', ')}`
}

/** Writes a query or a write as SQL, with a `?` for each of its values. */
export const textOf = (ast: QueryBuilderAst): string => {
  const { tableDef } = ast
  const from = quoteTable(tableDef)
  switch (ast._tag) {
    case 'SelectQuery': {
      const columns = ast.columns.length === 0 ? '*' : ast.columns.map(quote).join(', ')
      const order = ast.orderBy.map(({ col, direction }) => `${quote(col)} ${direction === 'desc' ? 'desc' : 'asc'}`)
      const ordered = order.length === 0 ? '' : ` ORDER BY ${order.join(', ')}`
      // An offset alone is no SQL.
      const limit = ast.limit !== undefined ? ' LIMIT ?' : ast.offset === undefined ? '' : ' LIMIT -1'
      const offset = ast.offset === undefined ? '' : ' OFFSET ?'
      return `SELECT ${columns} FROM ${from}${whereSql(ast.where)}${ordered}${limit}${offset}`
    }
    case 'CountQuery':
      return `SELECT COUNT(*) as count FROM ${from}${whereSql(ast.where)}`
    case 'RowQuery':
      return `SELECT * FROM ${from} WHERE id = ?`
    case 'InsertQuery':
      return insertSql(ast) + returningSql(ast.returning)
    case 'UpdateQuery': {
      const names = Object.keys(ast.values)
      if (names.length === 0) {
        throw new LiveStoreError('QueryError', `an update of ${tableDef.sqliteDef.name} sets nothing`)
      }
      const sets = names.map((name) => `${quote(name)} = ?`).join(', ')
      return `UPDATE ${from} SET ${sets}${whereSql(ast.where)}${returningSql(ast.returning)}`
    }
    case 'DeleteQuery':
      return `DELETE FROM ${from}${whereSql(ast.where)}${returningSql(ast.returning)}`
  }
}

/** Writes a query or a write as SQL. */
export const writeSql = (
  ast: QueryBuilderAst,
): { query: string; bindValues: SqlValue[]; usedTables: Set<string> } => ({
  query: textOf(ast),
  bindValues: valuesOf(ast),
  usedTables: new Set([ast.tableDef.sqliteDef.name]),
})
