import type { StandardSchemaV1 } from '@standard-schema/spec'
import type { Schema as EffectSchema } from 'effect/Schema'

import type { FieldColumn } from './effect-columns.js'
import { LiveStoreError } from './errors.js'

/** What values look like: a schema of Effect, or of any library that follows Standard Schema. */
export type AnySchema<T = any, E = any> = EffectSchema<T, E> | StandardSchemaV1<any, T>

/** How a value is stored. */
export interface Codec<T = any, E = any> {
  /** Checks what the app gives, and returns what it stands for. */
  readonly check: (value: unknown) => T
  readonly encode: (value: T) => E
  readonly decode: (encoded: E) => T
}

/** What is done with schemas of Effect, if the app uses them. */
export interface EffectSupport {
  readonly codec: (schema: EffectSchema<any, any>) => Codec
  /** Of a struct of which fields may be missing; nothing if it is none, and throws if Effect makes none of it. */
  readonly partial: (schema: EffectSchema<any, any>) => Codec | undefined
  /** The columns that a schema of rows stands for, and the schema's own name. */
  readonly table: (schema: EffectSchema<any, any>) => {
    name: string | undefined
    columns: Record<string, FieldColumn>
  }
  readonly rowSchema: (columns: Record<string, EffectColumn>, insert: boolean, title: string) => EffectSchema<any, any>
}

/** What a column needs to have a schema of Effect. */
export interface EffectColumn {
  readonly kind: 'text' | 'integer' | 'real' | 'blob' | 'boolean' | 'json' | 'datetime' | 'datetimeInteger'
  readonly custom: AnySchema | undefined
  readonly nullable: boolean
  readonly optional: boolean
}

let effect: EffectSupport | undefined

/** Lets schemas of Effect be used. */
export const enterEffect = (support: EffectSupport): void => {
  effect = support
}

export const effectSupport = (): EffectSupport => {
  if (effect !== undefined) return effect
  throw new LiveStoreError(
    'SchemaError',
    'this is a schema of Effect: take `Schema` from where the app has `makeSchema` from, or import its `/effect` beside ' +
      "it, such as '@livestore/livestore/effect'",
  )
}

const EffectSchemaId = Symbol.for('effect/Schema')

/** A schema of Effect is a class or an object with this mark. */
export const isEffectSchema = (schema: unknown): schema is EffectSchema<any, any> =>
  ((typeof schema === 'object' && schema !== null) || typeof schema === 'function') && EffectSchemaId in schema

export const isStandardSchema = (schema: unknown): schema is StandardSchemaV1 =>
  ((typeof schema === 'object' && schema !== null) || typeof schema === 'function') && '~standard' in schema

const pathOf = (issue: StandardSchemaV1.Issue): string =>
  (issue.path ?? []).map((part) => String(typeof part === 'object' ? part.key : part)).join('.')

const validate = (schema: StandardSchemaV1, value: unknown): unknown => {
  const result = schema['~standard'].validate(value)
  if (result instanceof Promise) {
    // What it comes to is of no interest.
    result.catch(() => {})
    throw new Error('the schema is asynchronous, and events are committed at once')
  }
  if (result.issues === undefined) return result.value
  const issues = result.issues.map((issue) => {
    const path = pathOf(issue)
    return path === '' ? issue.message : `${path}: ${issue.message}`
  })
  throw new Error(issues.join('; '))
}

const throughJson = (value: unknown): unknown => {
  const text = JSON.stringify(value) as string | undefined
  return text === undefined ? undefined : JSON.parse(text)
}

/**
 * Standard Schema has no way back from a value to what it was made of. What is stored is the value itself, and
 * a schema has to accept what it has made: then a default is filled in once and not at each replay.
 */
const standardCodec = (schema: StandardSchemaV1): Codec => ({
  check: (value) => validate(schema, value),
  encode: (value) => {
    const stored = throughJson(value)
    let again: unknown
    try {
      again = validate(schema, stored)
    } catch (error) {
      const isOther = !isEqual(stored, value)
      throw new Error(
        `the schema does not accept what is to be stored (${(error as Error).message})` +
          (isOther ? '; a date, say, needs one that takes texts as well' : ''),
      )
    }
    // Fields may come in another order, such as that of the schema.
    if (!deepEqual(throughJson(again), stored)) throw new Error('the schema makes something else of what it has made')
    return stored
  },
  decode: (stored) => validate(schema, stored),
})

/** Takes everything as it is. */
export const anyCodec: Codec = {
  check: (value) => value,
  encode: (value) => value,
  decode: (value) => value,
}

const codecs = new WeakMap<object, Codec>()

/** Returns how a schema's values are stored. */
export const codecOf = (schema: AnySchema): Codec => {
  let codec = codecs.get(schema as object)
  if (codec === undefined) {
    if (isEffectSchema(schema)) codec = effectSupport().codec(schema)
    else if (isStandardSchema(schema)) codec = standardCodec(schema)
    else throw new LiveStoreError('SchemaError', 'this is neither a schema of Effect nor a Standard Schema')
    codecs.set(schema as object, codec)
  }
  return codec
}

/** Tells whether two values are equal in all that they hold. */
export const deepEqual = (left: unknown, right: unknown): boolean => {
  if (left === right || Object.is(left, right)) return true
  if (typeof left !== 'object' || typeof right !== 'object' || left === null || right === null) return false
  if (Object.getPrototypeOf(left) !== Object.getPrototypeOf(right)) return false
  if (Array.isArray(left)) {
    const others = right as unknown[]
    if (left.length !== others.length) return false
    for (let at = 0; at < left.length; at++) if (!deepEqual(left[at], others[at])) return false
    return true
  }
  if (left instanceof Date) return Object.is(left.getTime(), (right as Date).getTime())
  if (left instanceof RegExp) return String(left) === String(right)
  if (ArrayBuffer.isView(left)) {
    const bytes = (view: ArrayBufferView) => new Uint8Array(view.buffer, view.byteOffset, view.byteLength)
    const [some, others] = [bytes(left), bytes(right as ArrayBufferView)]
    return some.length === others.length && some.every((byte, at) => byte === others[at])
  }
  if (left instanceof Map) {
    const others = right as Map<unknown, unknown>
    if (left.size !== others.size) return false
    for (const [key, value] of left) if (!others.has(key) || !deepEqual(value, others.get(key))) return false
    return true
  }
  if (left instanceof Set) {
    const others = right as Set<unknown>
    if (left.size !== others.size) return false
    for (const value of left) if (!others.has(value)) return false
    return true
  }
  // Of other objects nobody knows what they hold.
  const prototype: unknown = Object.getPrototypeOf(left)
  if (prototype !== Object.prototype && prototype !== null) return false
  const keys = Object.keys(left)
  if (keys.length !== Object.keys(right).length) return false
  return keys.every(
    (key) =>
      Object.hasOwn(right, key) &&
      deepEqual((left as Record<string, unknown>)[key], (right as Record<string, unknown>)[key]),
  )
}

/** As `deepEqual`; what is too deep to be compared, or contains itself, is another value. */
export const isEqual = (left: unknown, right: unknown): boolean => {
  try {
    return deepEqual(left, right)
  } catch {
    return false
  }
}
