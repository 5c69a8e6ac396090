import { type AnySchema, codecOf } from './codec.js'
import { LiveStoreError, reasonOf } from './errors.js'
import type { QueryBuilderAst } from './query-builder-types.js'
import { SessionIdSymbol } from './session-id.js'
import { type JsonValue, type SqlValue, toJsonValue } from './sql.js'
import { columnOf, encodeFor } from './stored.js'
import type { TableDefBase } from './table-types.js'

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

/** An element of a column's JSON array as `json_each` gives it. */
const elementOf = (table: TableDefBase, name: string, value: unknown): SqlValue => {
  const { custom } = columnOf(table, name)
  const encoded: unknown = custom === undefined ? value : encodeElement(table, name, custom, value)
  if (typeof encoded === 'boolean') return encoded ? 1 : 0
  return typeof encoded === 'object' && encoded !== null ? JSON.stringify(encoded) : (encoded as SqlValue)
}

/** Whether an operator compares with each of a list. */
export const takesList = (op: QueryBuilderAst.Where['op']): boolean => op === 'IN' || op === 'NOT IN'

/** Whether an operator looks for an element of a column's JSON array. */
export const takesElement = (op: QueryBuilderAst.Where['op']): boolean => op === 'JSON_CONTAINS' || op === 'JSON_NOT_CONTAINS'

/** The values of conditions; what is compared with null has none. */
const pushOperands = (
  table: TableDefBase,
  where: ReadonlyArray<QueryBuilderAst.Where>,
  sessionId: string | undefined,
  values: SqlValue[],
): void => {
  const push = (col: string, value: unknown) => {
    if (value !== SessionIdSymbol) values.push(encodeFor(table, col, value))
    else values.push(sessionId === undefined ? (value as never) : encodeFor(table, col, sessionId))
  }
  for (const { col, op, value } of where) {
    if (value === null) continue
    if (takesList(op)) for (const one of value as unknown[]) push(col, one)
    else if (takesElement(op)) values.push(elementOf(table, col, value))
    else push(col, value)
  }
}

const pushFields = (table: TableDefBase, fields: Record<string, unknown>, values: SqlValue[]): void => {
  for (const name of Object.keys(fields)) values.push(encodeFor(table, name, fields[name]))
}

/**
 * The values of a query or a write as they are stored, in the order in which its text has a `?` for each.
 *
 * Without the session's id, what stands for it stays, for whoever binds the values.
 */
export const valuesOf = (ast: QueryBuilderAst, sessionId?: string): SqlValue[] => {
  const values: SqlValue[] = []
  switch (ast._tag) {
    case 'RowQuery':
      values.push(ast.id === SessionIdSymbol && sessionId !== undefined ? sessionId : (ast.id as never))
      return values
    case 'InsertQuery':
      pushFields(ast.tableDef, ast.values, values)
      for (const [name, value] of Object.entries(ast.onConflict?.update ?? {})) {
        if (value !== undefined) values.push(encodeFor(ast.tableDef, name, value))
      }
      return values
    case 'UpdateQuery':
      pushFields(ast.tableDef, ast.values, values)
  }
  pushOperands(ast.tableDef, ast.where, sessionId, values)
  if (ast._tag === 'SelectQuery') {
    if (ast.limit !== undefined) values.push(ast.limit)
    if (ast.offset !== undefined) values.push(ast.offset)
  }
  return values
}

/** The values as the engine takes them. */
export const jsonValuesOf = (ast: QueryBuilderAst, sessionId: string): JsonValue[] =>
  valuesOf(ast, sessionId).map(toJsonValue)

/** Each part ends with a sign that no name has. */
const whereForm = (where: ReadonlyArray<QueryBuilderAst.Where>): string => {
  let form = ''
  for (const { col, op, value } of where) {
    form += `${col} ${op}`
    if (value === null) form += ' null'
    else if (takesList(op)) form += ` ${(value as unknown[]).length}`
    form += ';'
  }
  return form
}

/** What a query or a write of a table is apart from its values: its text, and which columns it gives. */
const formOf = (ast: QueryBuilderAst): string => {
  switch (ast._tag) {
    case 'SelectQuery': {
      let form = `select ${ast.columns.join()};${whereForm(ast.where)}`
      for (const { col, direction } of ast.orderBy) form += `by ${col} ${direction};`
      return `${form}limit ${ast.limit} ${ast.offset}`
    }
    case 'CountQuery':
      return `count;${whereForm(ast.where)}`
    case 'RowQuery':
      return 'row'
    case 'InsertQuery': {
      const form = `insert ${Object.keys(ast.values).join()};`
      if (ast.onConflict === undefined) return form
      const { targets, action, update } = ast.onConflict
      const sets = Object.entries(update).map(([name, value]) => (value === undefined ? `${name}=excluded` : name))
      return `${form}${action} ${targets.join()};${sets.join()}`
    }
    case 'UpdateQuery':
      return `update ${Object.keys(ast.values).join()};${whereForm(ast.where)}`
    case 'DeleteQuery':
      return `delete;${whereForm(ast.where)}`
  }
}

/** Forms of a table that are kept at most: an app may put together any number. */
const MOST_FORMS = 500

/** What has more values than this is not kept: it is long, and the next is seldom as long. */
const MOST_VALUES = 100

/** What was made of queries or writes: the same for all that differ in their values alone. */
export class Forms<T> {
  readonly #tables = new WeakMap<TableDefBase, Map<string, T>>()

  /** Makes it, unless it was made of one of the same form; it must not hold on to what it was made of. */
  get(ast: QueryBuilderAst, values: ReadonlyArray<JsonValue>, make: () => T): T {
    if (values.length > MOST_VALUES) return make()
    let form = formOf(ast)
    // With a null, a selection is another statement.
    for (let at = 0; at < values.length; at++) if (values[at] === null) form += `;${at}`
    let forms = this.#tables.get(ast.tableDef)
    if (forms === undefined) this.#tables.set(ast.tableDef, (forms = new Map()))
    const known = forms.get(form)
    if (known !== undefined) return known
    if (forms.size >= MOST_FORMS) forms.clear()
    const made = make()
    forms.set(form, made)
    return made
  }
}
