import { LiveStoreError, reasonOf } from './errors.js'
import { decodeStored, type EventDef, eventCodec, isEncodedEvent, type PartialEvent } from './events.js'
import type { LiveStoreSchema } from './schema.js'
import { SessionIdSymbol } from './session-id.js'
import { wellFormed } from './sql.js'

type EventsOf<TSchema extends LiveStoreSchema.Any> = TSchema['_EventDefMapType']
/** Arguments of an event, as the app has them or, from `encoded`, as they are stored. */
type ArgsOf<TDef> =
  | (TDef extends { readonly Event: { readonly args: infer TArgs } } ? TArgs : never)
  | (TDef extends { readonly encoded: (args: infer TEncoded) => unknown } ? TEncoded : never)
/** Events that a schema knows. */
export type InputEvent<TSchema extends LiveStoreSchema.Any> = {
  [K in keyof EventsOf<TSchema>]: EventsOf<TSchema>[K] extends EventDef.AnyWithoutFn
    ? PartialEvent<K & string, ArgsOf<EventsOf<TSchema>[K]>>
    : never
}[keyof EventsOf<TSchema>]

/** The events that a function collects, which has to be done with it when it returns. */
export const collected = (collect: (commit: (...events: PartialEvent[]) => void) => unknown): PartialEvent[] => {
  const events: PartialEvent[] = []
  let isOver = false
  const commit = (...more: PartialEvent[]) => {
    if (isOver) throw new LiveStoreError('PayloadError', 'these events come too late: the function that collects them has returned')
    events.push(...more)
  }
  let returned: unknown
  try {
    returned = collect(commit)
  } finally {
    isOver = true
  }
  if (typeof (returned as { then?: unknown } | null | undefined)?.then !== 'function') return events
  // What it comes to is of no interest.
  Promise.resolve(returned).catch(() => {})
  throw new LiveStoreError('PayloadError', 'the function that collects events must not be asynchronous: they are committed at once')
}

/** What a store tells of itself to those who encode its events. */
interface Committing {
  readonly schema: LiveStoreSchema.Any
  readonly sessionId: string
}

const checkNulls = (def: EventDef.AnyWithoutFn, json: string): void => {
  try {
    decodeStored(def, JSON.parse(json))
  } catch (cause) {
    throw new Error(`of what JSON makes of them, ${reasonOf(cause)}`, { cause })
  }
}

/** The arguments of an event as they are stored, in JSON. */
export const encodeArgs = (store: Committing, event: PartialEvent): string => {
  if (Array.isArray(event)) throw new LiveStoreError('PayloadError', 'this is no event but a list: spread it, as in commit(...events)')
  if (typeof event !== 'object' || event === null || typeof event.name !== 'string') {
    throw new LiveStoreError('PayloadError', `this is no event: ${String(event)}; call an event definition to make one`)
  }
  const def = store.schema.eventsDefsMap.get(event.name)
  if (def === undefined) {
    throw new LiveStoreError('UnknownEventError', `the schema has no event ${event.name}`, { event: event.name })
  }
  if (!def.options.derived && !store.schema.state.materializers.has(event.name)) {
    throw new LiveStoreError(
      'UnknownEventError',
      `the event ${event.name} has no materializer; one that returns [] writes nothing`,
      { event: event.name },
    )
  }
  try {
    let { args } = event
    if (!isEncodedEvent(event)) {
      if (def.options.derived && args.id === SessionIdSymbol) args = { ...args, id: store.sessionId }
      args = eventCodec(def).encode(args)
    }
    const json = JSON.stringify(args ?? null) as string | undefined
    if (json === undefined) throw new Error('JSON has no such value')
    // JSON writes null for what it does not have, such as `NaN`, of which the schema may want to know.
    if (json.includes('null')) checkNulls(def, json)
    return wellFormed(json)
  } catch (cause) {
    const why = reasonOf(cause)
    throw new LiveStoreError('PayloadError', `Invalid event args for event '${event.name}': ${why}`, {
      cause,
      event: event.name,
    })
  }
}
