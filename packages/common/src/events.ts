import type { StandardSchemaV1 } from '@standard-schema/spec'
import type { Schema } from 'effect/Schema'

import { type AnySchema, type Codec, codecOf } from './codec.js'
import { LiveStoreError, reasonOf } from './errors.js'

/** An event that is to be committed. */
export interface PartialEvent<TName extends string = string, TArgs = any> {
  readonly name: TName
  readonly args: TArgs
}

export interface EventOptions {
  readonly clientOnly: boolean
  /** True if a client document has made it. */
  readonly derived: boolean
  readonly deprecated: string | undefined
  /** Whether a client-only event outlives its session; unless it is said, the schema says it. */
  readonly persist: boolean | undefined
  readonly facts: undefined
}

/** A kind of event; called with arguments, it makes an event. */
export interface EventDef<TName extends string, TType, TEncoded = TType, TDerived extends boolean = false, TInput = TType> {
  (args: TInput): PartialEvent<TName, TType>
  readonly name: TName
  readonly schema: AnySchema<TType, TEncoded>
  readonly options: EventOptions & { readonly derived: TDerived }
  /** Makes an event of arguments as they are stored. */
  readonly encoded: (args: TEncoded) => PartialEvent<TName, TEncoded>
  /** For types alone. */
  readonly Event: PartialEvent<TName, TType>
}

export declare namespace EventDef {
  export type Any = EventDef<string, any, any, boolean, any>
  export type AnyWithoutFn = Pick<Any, 'name' | 'schema' | 'options' | 'Event'>
}
export type EventDefRecord = Record<string, EventDef.AnyWithoutFn>

export interface DefineEventOptions {
  /** Why the event is not to be used any more. */
  readonly deprecated?: string
}

export interface ClientOnlyOptions extends DefineEventOptions {
  /** Keeps the event, for all sessions of the client; without it, it lives as long as its session. */
  readonly persist?: boolean
}

interface Define<TOptions> {
  <const TName extends string, TType, TEncoded = TType>(
    args: { readonly name: TName; readonly schema: Schema<TType, TEncoded> } & TOptions,
  ): EventDef<TName, TType, TEncoded>
  <const TName extends string, TSchema extends StandardSchemaV1>(
    args: { readonly name: TName; readonly schema: TSchema } & TOptions,
  ): EventDef<
    TName,
    StandardSchemaV1.InferOutput<TSchema>,
    StandardSchemaV1.InferOutput<TSchema>,
    false,
    StandardSchemaV1.InferInput<TSchema>
  >
}

interface EventInput {
  readonly name: string
  readonly schema: AnySchema
  readonly clientOnly?: boolean
  readonly derived?: boolean
  readonly deprecated?: string
  readonly persist?: boolean
}

const encodedEvents = new WeakSet<object>()

/** Tells whether an event's arguments are as they are stored. */
export const isEncodedEvent = (event: PartialEvent): boolean => encodedEvents.has(event)

const codecs = new WeakMap<object, Codec>()

/** How the arguments of an event are stored. */
export const eventCodec = (def: EventDef.AnyWithoutFn): Codec => codecs.get(def) ?? codecOf(def.schema)

/** Reads the arguments of an event; null stands for `undefined`, which JSON does not have, if it is no value itself. */
export const decodeStored = (def: EventDef.AnyWithoutFn, stored: unknown): unknown => {
  const { decode } = eventCodec(def)
  try {
    return decode(stored)
  } catch (error) {
    if (stored !== null) throw error
    try {
      return decode(undefined)
    } catch {
      throw error
    }
  }
}

/** Says that the arguments of an event are stored in a way of their own. */
export const enterEventCodec = (def: object, codec: Codec): void => {
  codecs.set(def, codec)
}

/** Makes an event definition. */
export const makeEvent = (input: EventInput, codec?: Codec): EventDef.Any => {
  const { name, schema } = input
  if (typeof name !== 'string' || name === '') throw new LiveStoreError('SchemaError', 'an event needs a name')
  const check = (args: unknown) => {
    try {
      return (codec ?? codecOf(schema)).check(args)
    } catch (cause) {
      if (cause instanceof LiveStoreError) throw cause
      const why = reasonOf(cause)
      throw new LiveStoreError('PayloadError', `Invalid event args for event '${name}': ${why}`, { cause, event: name })
    }
  }
  const def = (args: unknown) => ({ name, args: check(args) })
  const encoded = (args: unknown) => {
    const event = { name, args }
    encodedEvents.add(event)
    return event
  }
  const options: EventOptions = {
    clientOnly: input.clientOnly ?? false,
    derived: input.derived ?? false,
    deprecated: input.deprecated,
    persist: input.persist,
    facts: undefined,
  }
  if (codec !== undefined) enterEventCodec(def, codec)
  return Object.defineProperties(def, {
    name: { value: name },
    schema: { value: schema },
    options: { value: options },
    encoded: { value: encoded },
  }) as unknown as EventDef.Any
}

/** Defines an event; `Events.synced` and `Events.clientOnly` are shorter. */
export const defineEvent: Define<ClientOnlyOptions & { clientOnly?: boolean }> = (args: EventInput): any =>
  makeEvent(args)

/** Defines an event that goes to all clients of a store. */
export const synced: Define<DefineEventOptions> = (args: EventInput): any => makeEvent({ ...args, clientOnly: false })

/** Defines an event that stays on the client. */
export const clientOnly: Define<ClientOnlyOptions> = (args: EventInput): any => makeEvent({ ...args, clientOnly: true })
