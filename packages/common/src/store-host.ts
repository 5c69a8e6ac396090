import type { SyncOptions } from './adapter.js'
import { isEqual } from './codec.js'
import type { EngineHost } from './engine.js'
import { LiveStoreError, noteThrown, report } from './errors.js'
import { Materializing } from './materialize.js'
import type { LiveStoreSchema } from './schema.js'

let materializing = 0

/** Tells whether an event is being turned into writes, in whatever store: then none can be closed. */
export const isMaterializing = (): boolean => materializing > 0

/** What the engine asks a store for. */
export class StoreHost implements EngineHost {
  readonly computations = new Map<number, (read: (live: number) => unknown) => unknown>()
  readonly #materializing: Materializing
  readonly token: EngineHost['token']
  readonly #schema: LiveStoreSchema
  /** What the app's code has thrown, which the engine knows only as a text. */
  #thrown: unknown

  constructor(schema: LiveStoreSchema, sync: SyncOptions | undefined) {
    this.#schema = schema
    this.#materializing = new Materializing(schema)
    const { token } = sync?.backend ?? {}
    this.token = async (request) => {
      if (token === undefined) throw new LiveStoreError('QueryError', 'there are no tokens')
      return await token(request)
    }
  }

  /** Takes what was thrown since it was taken last, so that no later error has it for its cause. */
  takeThrown(): unknown {
    const thrown = this.#thrown
    this.#thrown = undefined
    return thrown
  }

  materialize(...args: Parameters<EngineHost['materialize']>): string {
    materializing++
    try {
      return this.#materializing.run(...args)
    } catch (error) {
      this.#thrown = error
      noteThrown(error)
      throw error
    } finally {
      materializing--
    }
  }

  statement(number: number): string {
    return this.#materializing.textOf(number)
  }

  compute(id: number, read: (live: number) => unknown): unknown {
    const compute = this.computations.get(id)
    if (compute === undefined) throw new LiveStoreError('QueryError', 'this live query is gone')
    try {
      return compute(read)
    } catch (error) {
      this.#thrown = error
      noteThrown(error)
      throw error
    }
  }

  equal(left: unknown, right: unknown): boolean {
    return isEqual(left, right)
  }

  unknownEvent(json: string): void {
    const handling = this.#schema.unknownEventHandling
    if (handling.strategy !== 'callback') return
    const event = JSON.parse(json)
    const isDefined = this.#schema.eventsDefsMap.has(event.name)
    const reason = isDefined ? 'materializer-missing' : 'event-definition-missing'
    Promise.resolve()
      .then(() => handling.onUnknownEvent({ event, reason }))
      .catch(report)
  }
}
