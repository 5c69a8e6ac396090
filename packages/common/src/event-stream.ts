import type { EngineEvents, EngineStore } from './engine.js'
import { fromEngine, LiveStoreError, needEngine, reasonOf } from './errors.js'
import { type Composite, EventSequenceNumber } from './event-sequence-number.js'
import { decodeStored, type EventDef } from './events.js'
import type { LiveStoreEvent } from './live-store-event.js'
import type { LiveStoreSchema } from './schema.js'

export interface StoreEventsOptions<TSchema extends LiveStoreSchema.Any = LiveStoreSchema.Any> {
  /** Only events after this one. */
  readonly since?: Composite
  /** No events after this one, which ends the iteration. */
  readonly until?: Composite
  /** Only events with these names. */
  readonly filter?: ReadonlyArray<keyof TSchema['_EventDefMapType']>
  readonly clientIds?: ReadonlyArray<string>
  readonly sessionIds?: ReadonlyArray<string>
  /** How many events are fetched at once, 1 to 1000. */
  readonly batchSize?: number
}

interface Page {
  readonly events: ReadonlyArray<{
    readonly name: string
    readonly args: unknown
    readonly seqNum: number
    readonly clientId: string
    readonly sessionId: string
  }>
  readonly next: number
  readonly done?: boolean
}

/** What an iteration waits for, and whether anybody wants it. */
interface Waiting {
  page: EngineEvents | undefined
  isOver: boolean
}

/** Events that the backend has confirmed; an iteration can be ended while it waits for the next one. */
export const followEvents = (
  engine: EngineStore,
  schema: LiveStoreSchema,
  options: StoreEventsOptions<any>,
  batchSize: number,
): AsyncIterableIterator<LiveStoreEvent.Client.Decoded> => {
  const waiting: Waiting = { page: undefined, isOver: false }
  const events = read(waiting, engine, schema, options, batchSize)
  const iterator: AsyncIterableIterator<LiveStoreEvent.Client.Decoded> = {
    next: () => events.next(),
    return: async () => {
      waiting.isOver = true
      // Whoever waits for it then goes on, and sees that it is over.
      waiting.page?.free()
      waiting.page = undefined
      await events.return()
      return { done: true, value: undefined }
    },
    [Symbol.asyncIterator]: () => iterator,
  }
  return iterator
}

const decodeArgs = (def: EventDef.AnyWithoutFn, args: unknown): unknown => {
  try {
    return decodeStored(def, args)
  } catch (cause) {
    const why = reasonOf(cause)
    throw new LiveStoreError('DecodeError', `stored arguments of the event ${def.name}: ${why}`, { cause, event: def.name })
  }
}

/** Reads them page by page. */
async function* read(
  waiting: Waiting,
  engine: EngineStore,
  schema: LiveStoreSchema,
  options: StoreEventsOptions<any>,
  batchSize: number,
): AsyncGenerator<LiveStoreEvent.Client.Decoded, void, undefined> {
  const limit = options.batchSize ?? batchSize
  if (!Number.isInteger(limit) || limit < 1 || limit > 1000) {
    throw new RangeError(`batchSize is a whole number from 1 to 1000, and not ${limit}`)
  }
  let since = options.since?.global ?? 0
  while (!waiting.isOver) {
    const request = {
      since,
      limit,
      ...(options.until === undefined ? {} : { until: options.until.global }),
      ...(options.filter === undefined ? {} : { names: options.filter }),
      ...(options.clientIds === undefined ? {} : { clientIds: options.clientIds }),
      ...(options.sessionIds === undefined ? {} : { sessionIds: options.sessionIds }),
    }
    let page: Page
    try {
      needEngine()
      waiting.page = engine.nextEvents(JSON.stringify(request))
      page = JSON.parse(await waiting.page.found)
    } catch (error) {
      const told = fromEngine(error)
      // A store that is shut down has no more events.
      if ((told as { _tag?: string })._tag === 'StoreClosed') return
      throw told
    } finally {
      waiting.page?.free()
      waiting.page = undefined
    }
    for (const event of page.events) {
      const def = schema.eventsDefsMap.get(event.name)
      const { fromGlobal } = EventSequenceNumber.Client
      yield {
        name: event.name,
        args: def === undefined ? event.args : decodeArgs(def, event.args),
        seqNum: fromGlobal(event.seqNum),
        parentSeqNum: fromGlobal(event.seqNum - 1),
        clientId: event.clientId,
        sessionId: event.sessionId,
      }
    }
    if (page.done === true) return
    since = page.next
  }
}
