import type { Schema } from 'effect/Schema'

import type { FieldColumnType } from './columns.js'

export const PrimaryKeyId = Symbol.for('livestore/state/sqlite/annotations/primary-key')
export const ColumnType = Symbol.for('livestore/state/sqlite/annotations/column-type')
export const Default = Symbol.for('livestore/state/sqlite/annotations/default')
export const AutoIncrement = Symbol.for('livestore/state/sqlite/annotations/auto-increment')
export const Unique = Symbol.for('livestore/state/sqlite/annotations/unique')

/** A schema of Effect, or a field made of one. */
interface Annotatable {
  annotations(annotations: Record<symbol, unknown>): unknown
}

const annotate = <T>(schema: T, key: symbol, value: unknown): T =>
  (schema as Annotatable).annotations({ [key]: value }) as T

/** Makes a field the primary key of a table that is made of a schema. */
export const withPrimaryKey = <T extends Schema.All | { annotations: any }>(schema: T): T =>
  annotate(schema, PrimaryKeyId, true)

/** Lets SQLite count up where an insert gives no value. */
export const withAutoIncrement = <T extends Schema.All | { annotations: any }>(schema: T): T =>
  annotate(schema, AutoIncrement, true)

/** Lets only one row have a value. */
export const withUnique = <T extends Schema.All | { annotations: any }>(schema: T): T => annotate(schema, Unique, true)

/** Says what is stored; what a field's values are stored as has to fit. */
export const withColumnType: {
  <T extends Schema.All>(schema: T, type: FieldColumnType): T
  (type: FieldColumnType): <T extends Schema.All>(schema: T) => T
} = (...args: [any, any?]): any =>
  args.length === 1
    ? (schema: unknown) => annotate(schema, ColumnType, args[0])
    : annotate(args[0], ColumnType, args[1])

/** Gives the value for inserts that give none. */
export const withDefault: {
  <T extends Schema.All>(schema: T, value: unknown): T
  (value: unknown): <T extends Schema.All>(schema: T) => T
} = (...args: [any, any?]): any =>
  args.length === 1 ? (schema: unknown) => annotate(schema, Default, args[0]) : annotate(args[0], Default, args[1])
