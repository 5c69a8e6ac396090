import type { EngineStore } from './engine.js'
import { fromEngine } from './errors.js'
import { type Composite, EventSequenceNumber } from './event-sequence-number.js'
import { eventCodec } from './events.js'
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

/** Events that the backend has confirmed; an iteration can be ended while it waits for the next one. */
export const followEvents = (...args: Parameters<typeof read>): AsyncIterableIterator<LiveStoreEvent.Client.Decoded> => {
  const events = read(...args)
  const over: IteratorResult<LiveStoreEvent.Client.Decoded> = { done: true, value: undefined }
  let isOver = false
  let end = () => {}
  const ended = new Promise<typeof over>((resolve) => (end = () => resolve(over)))
  const iterator: AsyncIterableIterator<LiveStoreEvent.Client.Decoded> = {
    next: async () => (isOver ? over : Promise.race([events.next(), ended])),
    return: async () => {
      isOver = true
      end()
      return over
    },
    [Symbol.asyncIterator]: () => iterator,
  }
  return iterator
}

/** Reads them page by page. */
async function* read(
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
  while (true) {
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
      page = JSON.parse(await engine.nextEvents(JSON.stringify(request)))
    } catch (error) {
      const told = fromEngine(error)
      // A store that is shut down has no more events.
      if ((told as { _tag?: string })._tag === 'StoreClosed') return
      throw told
    }
    for (const event of page.events) {
      const def = schema.eventsDefsMap.get(event.name)
      const { fromGlobal } = EventSequenceNumber.Client
      yield {
        name: event.name,
        args: def === undefined ? event.args : eventCodec(def).decode(event.args),
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
