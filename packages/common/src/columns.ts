import type { Option } from 'effect/Option'
import type { Schema } from 'effect/Schema'

import { type AnySchema, codecOf, effectSupport, type EffectColumn } from './codec.js'
import { LiveStoreError } from './errors.js'

export type FieldColumnType = 'text' | 'integer' | 'real' | 'blob'

export type EncodedOf<T extends FieldColumnType> = T extends 'text' ? string : T extends 'blob' ? Uint8Array : number

export interface SqlDefaultValue {
  readonly sql: string
}
export type ColumnDefaultThunk<T> = () => T
export type ColumnDefaultValue<T> = T | null | ColumnDefaultThunk<T | null> | SqlDefaultValue

export const NoDefault: unique symbol = Symbol.for('NoDefault') as never
export type NoDefault = typeof NoDefault

type MaybeNull<T, TNullable extends boolean> = T | (TNullable extends true ? null : never)
type DefaultArg<T, TNullable extends boolean> =
  | MaybeNull<T, TNullable>
  | ColumnDefaultThunk<MaybeNull<T, TNullable>>
  | SqlDefaultValue
  | NoDefault

/** How the values of a column are stored. */
export interface ColumnCodec {
  readonly encode: (value: any) => string | number | bigint | Uint8Array | null
  readonly decode: (stored: any) => any
  /** True if values are stored as they are. */
  readonly plain: boolean
}

export interface ColumnDefinition<TEncoded, TDecoded, TNullable extends boolean = boolean> {
  readonly columnType: FieldColumnType
  /** The column's schema, as one of Effect; needs the app to use Effect's schemas. */
  readonly schema: Schema<TDecoded, TEncoded>
  readonly default: Option<ColumnDefaultValue<TDecoded>>
  readonly nullable: TNullable
  readonly primaryKey: boolean
  readonly autoIncrement: boolean
}

export declare namespace ColumnDefinition {
  export type Any = ColumnDefinition<any, any>
}

/** What a column has besides what apps see of it. */
export interface ColumnInternals extends EffectColumn {
  readonly codec: ColumnCodec
}

const internals = new WeakMap<object, ColumnInternals>()

export const columnInternals = (column: ColumnDefinition.Any): ColumnInternals => {
  const found = internals.get(column)
  if (found !== undefined) return found
  throw new LiveStoreError('SchemaError', 'this is no column: make it with State.SQLite.text and the like')
}

interface Options {
  readonly schema?: AnySchema
  readonly default?: unknown
  readonly nullable?: boolean
  readonly primaryKey?: boolean
  readonly autoIncrement?: boolean
}

const expect = (type: string, value: unknown): never => {
  const kind = value === null ? 'null' : typeof value === 'object' ? value.constructor?.name : typeof value
  throw new Error(`expected ${type}, actual ${kind === 'string' ? JSON.stringify(value) : String(value)} (${kind})`)
}

const text: ColumnCodec = {
  plain: true,
  encode: (value) => (typeof value === 'string' ? value : expect('a string', value)),
  decode: (value) => value,
}
const number: ColumnCodec = {
  plain: true,
  encode: (value) =>
    (typeof value === 'number' && !Number.isNaN(value)) || typeof value === 'bigint' ? value : expect('a number', value),
  decode: (value) => value,
}
const bytes: ColumnCodec = {
  plain: true,
  encode: (value) => (value instanceof Uint8Array ? value : expect('a Uint8Array', value)),
  decode: (value) => value,
}
const primitive = { text, integer: number, real: number, blob: bytes }

const truth: ColumnCodec = {
  plain: false,
  encode: (value) => (typeof value === 'boolean' ? (value ? 1 : 0) : expect('a boolean', value)),
  decode: (value) => value === 1,
}
const date = (stored: (date: Date) => string | number): ColumnCodec => ({
  plain: false,
  encode: (value) =>
    value instanceof Date && !Number.isNaN(value.getTime()) ? stored(value) : expect('a valid Date', value),
  decode: (value) => {
    const date = new Date(value)
    return Number.isNaN(date.getTime()) ? expect('a valid Date', value) : date
  },
})
const datetimeText = date((value) => value.toISOString())
const datetimeMillis = date((value) => value.getTime())

const jsonText = (value: unknown): string => {
  const json = JSON.stringify(value) as string | undefined
  return json ?? expect('a value that JSON can hold', value)
}

const codecFor = (kind: EffectColumn['kind'], custom: AnySchema | undefined): ColumnCodec => {
  if (kind === 'boolean') return truth
  if (kind === 'datetime') return datetimeText
  if (kind === 'datetimeInteger') return datetimeMillis
  if (kind === 'json') {
    if (custom === undefined) return { plain: false, encode: jsonText, decode: (stored: string) => JSON.parse(stored) }
    return {
      plain: false,
      encode: (value) => jsonText(codecOf(custom).encode(value)),
      decode: (stored: string) => codecOf(custom).decode(JSON.parse(stored)),
    }
  }
  if (custom === undefined) return primitive[kind]
  const stored = primitive[kind]
  return {
    plain: false,
    encode: (value) => stored.encode(codecOf(custom).encode(value)),
    decode: (value) => codecOf(custom).decode(value),
  }
}

const orNull = (codec: ColumnCodec): ColumnCodec => ({
  plain: codec.plain,
  encode: (value) => (value === null ? null : codec.encode(value)),
  decode: (value) => (value === null ? null : codec.decode(value)),
})

const storedAs = (kind: EffectColumn['kind']): FieldColumnType => {
  if (kind === 'json' || kind === 'datetime') return 'text'
  return kind === 'boolean' || kind === 'datetimeInteger' ? 'integer' : kind
}

/** Makes a column; `codec` overrides how its values are stored. */
export const makeColumn = (kind: EffectColumn['kind'], options: Options = {}, codec?: ColumnCodec): any => {
  const nullable = options.nullable ?? false
  const hasDefault = options.default !== undefined && options.default !== NoDefault
  const column = {
    columnType: storedAs(kind),
    get schema() {
      return (effectSupport().rowSchema({ column: columnInternals(column as any) }, false, 'column') as any).fields.column
    },
    default: hasDefault ? { _tag: 'Some', value: options.default } : { _tag: 'None' },
    nullable,
    primaryKey: options.primaryKey ?? false,
    autoIncrement: options.autoIncrement ?? false,
  }
  const plain = codec ?? codecFor(kind, options.schema)
  internals.set(column, {
    kind,
    custom: options.schema,
    nullable,
    optional: nullable || hasDefault || column.autoIncrement,
    codec: nullable ? orNull(plain) : plain,
  })
  return column
}

/** What a schema of a column makes, and what it makes it of. */
type SchemaFor<TDecoded, TEncoded> = AnySchema<TDecoded, TEncoded>

type Column<
  TColumnType extends FieldColumnType,
  TDecoded,
  TEncoded,
  TNullable extends boolean,
  TDefault,
  TPrimaryKey extends boolean,
  TAutoIncrement extends boolean,
> = {
  readonly columnType: TColumnType
  readonly schema: TNullable extends true ? Schema<TDecoded | null, TEncoded | null> : Schema<TDecoded, TEncoded>
  readonly default: TDefault extends NoDefault ? Option<never> & { _tag: 'None' } : Option<any> & { _tag: 'Some' }
  readonly nullable: TNullable
  readonly primaryKey: TPrimaryKey
  readonly autoIncrement: TAutoIncrement
}

/** Makes columns; `TCustom` says whether they may have a schema of their own. */
export interface ColDefFn<
  TColumnType extends FieldColumnType,
  TCustom extends boolean = true,
  TBase = EncodedOf<TColumnType>,
> {
  (): Column<TColumnType, TBase, EncodedOf<TColumnType>, false, NoDefault, false, false>
  <
    TDecoded = TBase,
    const TNullable extends boolean = false,
    const TDefault extends DefaultArg<NoInfer<TDecoded>, TNullable> = NoDefault,
    const TPrimaryKey extends boolean = false,
    const TAutoIncrement extends boolean = false,
  >(
    options: {
      default?: TDefault
      nullable?: TNullable
      primaryKey?: TPrimaryKey
      autoIncrement?: TAutoIncrement
    } & (TCustom extends true ? { schema?: SchemaFor<TDecoded, any> } : unknown),
  ): Column<
    TColumnType,
    NoInfer<TDecoded>,
    EncodedOf<TColumnType>,
    NoInfer<TNullable>,
    NoInfer<TDefault>,
    NoInfer<TPrimaryKey>,
    NoInfer<TAutoIncrement>
  >
}

const define = (kind: EffectColumn['kind']): any => (options?: Options) => makeColumn(kind, options)

const textColumn: ColDefFn<'text'> = define('text')
const integerColumn: ColDefFn<'integer'> = define('integer')
const realColumn: ColDefFn<'real'> = define('real')
const blobColumn: ColDefFn<'blob'> = define('blob')

export { textColumn as text, integerColumn as integer, realColumn as real, blobColumn as blob }

/** True or false, stored as 1 or 0. */
export const boolean: ColDefFn<'integer', false, boolean> = define('boolean')
/** Anything that JSON can hold, stored as text. */
export const json: ColDefFn<'text', true, unknown> = define('json')
/** A date, stored as text. */
export const datetime: ColDefFn<'text', false, Date> = define('datetime')
/** A date, stored as milliseconds since 1970. */
export const datetimeInteger: ColDefFn<'integer', false, Date> = define('datetimeInteger')

/** Makes a column by the type of what is stored. */
export const column = <TColumnType extends FieldColumnType>(columnType: TColumnType): ColDefFn<TColumnType> =>
  define(columnType)

export const isColumnDefinition = (value: unknown): value is ColumnDefinition.Any =>
  typeof value === 'object' && value !== null && internals.has(value)
