import type { StandardSchemaV1 } from '@standard-schema/spec'
import type { Schema } from 'effect/Schema'

import { type AnySchema, type Codec, codecOf, effectSupport, isEffectSchema } from './codec.js'
import { type ColumnDefinition, makeColumn } from './columns.js'
import { type DocumentInternals, enterDocument } from './document-registry.js'
import { LiveStoreError, reasonOf } from './errors.js'
import { enterEventCodec, type EventOptions, makeEvent, type PartialEvent } from './events.js'
import { Builder } from './query-builder.js'
import type { QueryBuilder } from './query-builder-types.js'
import { SessionIdSymbol } from './session-id.js'
import { makeTable, type TableDef } from './table.js'
import type { TableDefBase, TableDefinition } from './table-types.js'

export const ClientDocumentTableDefSymbol: unique symbol = Symbol.for('livestore.ClientDocumentTableDef') as never
export type ClientDocumentTableDefSymbol = typeof ClientDocumentTableDefSymbol

export interface ClientDocumentTableOptions<TType> {
  /** Whether `set` takes some of the fields and leaves all others as they are. */
  readonly partialSet: boolean
  readonly default: {
    /** Whose document it is, if nobody says it. */
    readonly id: SessionIdSymbol | string | undefined
    /** What a document is that was never set. */
    readonly value: TType
  }
}

type IsAny<T> = 0 extends 1 & T ? true : false

export declare namespace ClientDocumentTableOptions {
  export interface Input<TType> {
    readonly partialSet?: boolean
    readonly default: {
      readonly id?: SessionIdSymbol | string | undefined
      readonly value: TType
    }
  }
  export type WithDefaults<TInput extends Input<any>, TType> = {
    readonly partialSet: TInput['partialSet'] extends false ? false : IsAny<TType> extends true ? false : TType extends object ? true : false
    readonly default: {
      readonly id: TInput['default'] extends { readonly id: infer TId extends string | SessionIdSymbol } ? TId : undefined
      readonly value: TType
    }
  }
}

type DocumentColumns<TType> = {
  readonly id: ColumnDefinition<string, string, false>
  readonly value: ColumnDefinition<string, TType, false>
}
type DocumentTable<TName extends string, TType> = TableDefBase<
  TableDefinition<TName, DocumentColumns<TType>>,
  { readonly isClientDocumentTable: true }
>

/** A table of values of one client, of which each is read and set as one. */
export type ClientDocumentTableDef<TName extends string, TType, TEncoded, TOptions extends ClientDocumentTableOptions<TType>> =
  TableDef<TableDefinition<TName, DocumentColumns<TType>>, { readonly isClientDocumentTable: true }> &
    ClientDocumentTableDef.Trait<TName, TType, TEncoded, TOptions>

export declare namespace ClientDocumentTableDef {
  export type Any = ClientDocumentTableDef<string, any, any, any>
  export type TraitAny = Trait<any, any, any, any>

  export interface Trait<TName extends string, TType, TEncoded, TOptions extends ClientDocumentTableOptions<TType>> {
    /** The value; reading writes nothing. */
    readonly get: Get<TName, TType, TOptions>
    /** Makes the event that sets the value. */
    readonly set: Set<TName, TType, TOptions>
    /** For types alone. */
    readonly Value: TType
    readonly default: TOptions['default']
    readonly valueSchema: AnySchema<TType, TEncoded>
    readonly [ClientDocumentTableDefSymbol]: { readonly options: TOptions }
  }

  type Given<TType, TOptions extends ClientDocumentTableOptions<TType>> = {
    readonly default: TOptions['partialSet'] extends false ? TType : Partial<TType>
  }
  export type Get<TName extends string, TType, TOptions extends ClientDocumentTableOptions<TType>> =
    TOptions['default']['id'] extends string | SessionIdSymbol
      ? (
          id?: string | SessionIdSymbol,
          options?: Partial<Given<TType, TOptions>>,
        ) => QueryBuilder<TType, DocumentTable<TName, TType>, QueryBuilder.ApiFeature>
      : (
          id: string | SessionIdSymbol,
          options?: Partial<Given<TType, TOptions>>,
        ) => QueryBuilder<TType, DocumentTable<TName, TType>, QueryBuilder.ApiFeature>

  type SetEvent<TName extends string, TValue> = PartialEvent<
    `${TName}Set`,
    { readonly id: string | SessionIdSymbol; readonly value: TValue }
  >
  type SetValue<TType, TOptions extends ClientDocumentTableOptions<TType>> = TOptions['partialSet'] extends false
    ? TType
    : Partial<TType>
  export type Set<TName extends string, TType, TOptions extends ClientDocumentTableOptions<TType>> = {
    readonly name: `${TName}Set`
    readonly schema: AnySchema<any, any>
    readonly options: EventOptions & { readonly derived: true; readonly clientOnly: true }
    /** For types alone. */
    readonly Event: SetEvent<TName, SetValue<TType, TOptions>>
  } & (TOptions['default']['id'] extends string | SessionIdSymbol
    ? (value: SetValue<TType, TOptions>, id?: string | SessionIdSymbol) => SetEvent<TName, SetValue<TType, TOptions>>
    : (value: SetValue<TType, TOptions>, id: string | SessionIdSymbol) => SetEvent<TName, SetValue<TType, TOptions>>)

  export type DefaultIdType<T extends TraitAny> = T extends Trait<any, any, any, infer TOptions>
    ? TOptions['default']['id'] extends SessionIdSymbol | string
      ? TOptions['default']['id']
      : never
    : never
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const withoutUndefined = (value: Record<string, unknown>): Record<string, unknown> =>
  Object.fromEntries(Object.entries(value).filter(([, field]) => field !== undefined))

/** How the fields that are set are stored; nothing if the value has none. */
const partialCodec = (name: string, schema: AnySchema, defaultValue: unknown): Codec | undefined => {
  // A Standard Schema does not tell whether it is one of fields, so what it has made has to.
  if (!isObject(defaultValue)) return undefined
  if (isEffectSchema(schema)) {
    const { partial } = effectSupport()
    try {
      return partial(schema)
    } catch (cause) {
      const why = 'Effect makes none of its schema of which fields may be missing; say `partialSet: false`, and set it as a whole'
      throw new LiveStoreError('SchemaError', `the client document ${name}: ${why}`, { cause, table: name })
    }
  }
  const whole = codecOf(schema)
  const among = (run: (value: any) => Record<string, unknown>) => (fields: any) => {
    try {
      const all = run({ ...defaultValue, ...fields })
      return Object.fromEntries(
        Object.keys(fields).map((field) => {
          if (!Object.hasOwn(all, field)) throw new Error(`it has no field ${field}`)
          return [field, all[field]]
        }),
      )
    } catch (cause) {
      const why = reasonOf(cause)
      const hint = 'if fields depend on each other, say `partialSet: false`, and set it as a whole'
      throw new Error(`${why} (beside the defaults of the other fields; ${hint})`, { cause })
    }
  }
  return { check: among(whole.check), encode: among(whole.encode), decode: among(whole.decode) }
}

/** Reads what is stored, whole or the fields that were set, and takes of it what fits. */
const reader = (
  name: string,
  schema: AnySchema,
  initial: DocumentInternals['initial'],
  partialSet: boolean,
): DocumentInternals['decode'] => {
  const read = (stored: unknown) => codecOf(schema).decode(stored)
  return (text, explicitDefault) => {
    const stored: unknown = JSON.parse(text)
    const base: unknown = codecOf(schema).encode(initial(explicitDefault))
    if (!isObject(base) || !isObject(stored)) {
      try {
        return read(stored)
      } catch {
        warnOnce(name)
        return initial(explicitDefault)
      }
    }
    if (!partialSet) {
      try {
        return read(stored)
      } catch {
        // The schema may have got a field since.
      }
    }
    try {
      return read({ ...base, ...stored })
    } catch {
      warnOnce(name)
    }
    // What another release has stored: each field that still fits is taken.
    let fitting = base
    for (const [field, value] of Object.entries(stored)) {
      if (!(field in base)) continue
      const more = { ...fitting, [field]: value }
      try {
        read(more)
        fitting = more
      } catch {
        // It has the default.
      }
    }
    return read(fitting)
  }
}

/** Values of classes, such as sets, are whole. */
const isPlain = (value: unknown): value is Record<string, unknown> =>
  isObject(value) && [Object.prototype, null].includes(Object.getPrototypeOf(value) as object | null)

/** What a document is that was not set, to a reader that may give its own default, or a part of it. */
const initially = (schema: AnySchema, defaultValue: unknown, partialSet: boolean): DocumentInternals['initial'] => {
  const isWhole = (value: unknown): boolean => {
    if (partialSet) return false
    try {
      codecOf(schema).encode(value)
      return true
    } catch {
      return false
    }
  }
  return (explicit) => {
    if (explicit === undefined) return defaultValue
    const isPart = isPlain(defaultValue) && isPlain(explicit) && !isWhole(explicit)
    return isPart ? { ...defaultValue, ...withoutUndefined(explicit) } : explicit
  }
}

const warned = new Set<string>()
const warnOnce = (name: string): void => {
  if (warned.has(name)) return
  warned.add(name)
  console.warn(
    `LiveStore: a stored value of the client document ${name} does not fit its schema any more; what of it fits is used`,
  )
}

interface ClientDocument {
  <const TName extends string, TType, TEncoded, const TOptions extends ClientDocumentTableOptions.Input<NoInfer<TType>>>(
    args: { readonly name: TName; readonly schema: Schema<TType, TEncoded> } & TOptions,
  ): ClientDocumentTableDef<TName, TType, TEncoded, ClientDocumentTableOptions.WithDefaults<TOptions, TType>>
  <
    const TName extends string,
    TSchema extends StandardSchemaV1,
    const TOptions extends ClientDocumentTableOptions.Input<NoInfer<StandardSchemaV1.InferOutput<TSchema>>>,
  >(
    args: { readonly name: TName; readonly schema: TSchema } & TOptions,
  ): ClientDocumentTableDef<
    TName,
    StandardSchemaV1.InferOutput<TSchema>,
    StandardSchemaV1.InferOutput<TSchema>,
    ClientDocumentTableOptions.WithDefaults<TOptions, StandardSchemaV1.InferOutput<TSchema>>
  >
}

/** Defines values that stay on the client, such as what its user interface shows. */
export const clientDocument: ClientDocument = (args: {
  name: string
  schema: AnySchema
  partialSet?: boolean
  default: { id?: SessionIdSymbol | string | undefined; value: unknown }
}): any => {
  const { name, schema } = args
  const { id: defaultId, value: defaultValue } = args.default
  const fields = args.partialSet === false ? undefined : partialCodec(name, schema, defaultValue)
  const partialSet = fields !== undefined
  const idOf = (id: string | SessionIdSymbol | undefined) => {
    const found = id ?? defaultId
    if (found !== undefined) return found
    throw new LiveStoreError('QueryError', `the client document ${name} has no default id, so say whose it is`, {
      table: name,
    })
  }

  const initial = initially(schema, defaultValue, partialSet)
  const document: DocumentInternals = {
    decode: reader(name, schema, initial, partialSet),
    initial,
    keyOf: (explicitDefault) => {
      if (explicitDefault === undefined) return ''
      try {
        return JSON.stringify(codecOf(schema).encode(initial(explicitDefault)))
      } catch (cause) {
        const why = reasonOf(cause)
        throw new LiveStoreError('QueryError', `a default for the client document ${name}: ${why}`, { cause, table: name })
      }
    },
    encodedDefault: () => {
      try {
        return codecOf(schema).encode(defaultValue)
      } catch (cause) {
        const why = reasonOf(cause)
        throw new LiveStoreError('SchemaError', `the default of the client document ${name}: ${why}`, { cause, table: name })
      }
    },
    defaultId,
  }
  const codec = {
    plain: false,
    encode: (value: unknown) => JSON.stringify(codecOf(schema).encode(value)),
    decode: (stored: string) => document.decode(stored, undefined),
  }
  const columns = { id: makeColumn('text', { primaryKey: true }), value: makeColumn('json', { schema }, codec) }
  const table = makeTable(name, columns, { scope: 'client' }, { isClientDocumentTable: true })
  enterDocument(table, document)

  const setCodec: Codec = {
    check: ({ id, value }: any) => ({
      id,
      value: fields === undefined ? codecOf(schema).check(value) : fields.check(withoutUndefined(value)),
    }),
    encode: ({ id, value }) =>
      fields === undefined
        ? { id, value: codecOf(schema).encode(value) }
        : { id, fields: fields.encode(withoutUndefined(value)) },
    decode: ({ id, value, fields: some }) => ({
      id,
      value: some === undefined ? codecOf(schema).decode(value) : fields?.decode(some),
    }),
  }
  const event = makeEvent({ name: `${name}Set`, schema, clientOnly: true, derived: true, persist: true }, setCodec)
  const set = (value: unknown, id?: string | SessionIdSymbol) => event({ id: idOf(id), value })
  Object.defineProperties(set, Object.getOwnPropertyDescriptors(event))
  enterEventCodec(set, setCodec)

  return Object.assign(table, {
    get: (id?: string | SessionIdSymbol, options?: { default?: unknown }) =>
      new Builder({ _tag: 'RowQuery', tableDef: table, id: idOf(id), explicitDefault: options?.default }),
    set,
    Value: undefined,
    default: { id: defaultId, value: defaultValue },
    valueSchema: schema,
    [ClientDocumentTableDefSymbol]: { options: { partialSet, default: { id: defaultId, value: defaultValue } } },
  })
}

export const tableIsClientDocumentTable = (table: TableDefBase): table is ClientDocumentTableDef.Any =>
  table.options.isClientDocumentTable
