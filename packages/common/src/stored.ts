import { columnInternals, type ColumnInternals } from './columns.js'
import { LiveStoreError, reasonOf } from './errors.js'
import type { TableDefBase } from './table-types.js'

export const columnOf = (table: TableDefBase, name: string): ColumnInternals => {
  const { columns } = table.sqliteDef
  if (!Object.hasOwn(columns, name)) {
    throw new LiveStoreError('QueryError', `the table ${table.sqliteDef.name} has no column ${name}`, {
      table: table.sqliteDef.name,
    })
  }
  return columnInternals(columns[name])
}

/** A value as a column stores it. */
export const encodeFor = (table: TableDefBase, name: string, value: unknown) => {
  const { codec } = columnOf(table, name)
  try {
    return codec.encode(value)
  } catch (cause) {
    const why = reasonOf(cause)
    const { name: tableName } = table.sqliteDef
    throw new LiveStoreError('QueryError', `a value for ${tableName}.${name}: ${why}`, { cause, table: tableName })
  }
}

/** A stored value of a column as the app has it. */
export const decodeFor = (table: TableDefBase, name: string, stored: unknown, codec: ColumnInternals['codec']): unknown => {
  try {
    return codec.decode(stored)
  } catch (cause) {
    const why = reasonOf(cause)
    const { name: tableName } = table.sqliteDef
    throw new LiveStoreError('DecodeError', `a stored value of ${tableName}.${name}: ${why}`, { cause, table: tableName })
  }
}
