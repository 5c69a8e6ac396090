import type { StandardSchemaV1 } from '@standard-schema/spec'

import type { OpenedStore, SyncOptions } from './adapter.js'
import { type AnySchema, deepEqual } from './codec.js'
import type { EngineStore, EngineSubscription } from './engine.js'
import { engine, fromEngine, isStopped, LiveStoreError, needEngine, report } from './errors.js'
import { followEvents, type StoreEventsOptions } from './event-stream.js'
import type { PartialEvent } from './events.js'
import { collected, encodeArgs, type InputEvent } from './group.js'
import { iterate } from './iterate.js'
import { type DiffStep, isComputing, isLive, Live } from './live.js'
import {
  compileInput,
  compileInputRead,
  defOf,
  isLiveQueryInstance,
  isQueryInputRaw,
  type Recipe,
  recipeOf,
} from './live-queries.js'
import type { GetAtomResult, LiveQuery, LiveQueryDef, Queryable, SignalDef } from './live-query-types.js'
import type { LiveStoreEvent } from './live-store-event.js'
import { isQueryBuilder } from './query-builder.js'
import { type CompiledQuery, type CompiledRead, decodeAll } from './query-compile.js'
import { CommitReceipt } from './receipt.js'
import type { LiveStoreSchema } from './schema.js'
import { isMaterializing, type StoreHost } from './store-host.js'
import type { Bindable } from './sql.js'
import { type NetworkStatus, networkStatusOf, type SyncStatus, syncStatusOf } from './sync-status.js'

export type Unsubscribe = () => void

export interface SubscribeOptions<TResult> {
  readonly label?: string | undefined
  /** Leaves out the call with the value of now. */
  readonly skipInitialRun?: boolean | undefined
  readonly onSubscribe?: ((query: LiveQuery<TResult>) => void) | undefined
  readonly onUnsubsubscribe?: (() => void) | undefined
  readonly '__result!'?: TResult
}

export interface StoreCommitOptions {
  readonly label?: string
  /** Tells followers when `manualRefresh` is called, and not before. */
  readonly skipRefresh?: boolean
}

/** A group that could not be kept: the app decides what becomes of it. */
export interface DeadLetter {
  readonly group: { readonly id: string; readonly events: ReadonlyArray<{ readonly name: string; readonly args: unknown }> }
  readonly reason: { readonly kind: string } & Record<string, unknown>
  readonly rejectedAtMs: number
}

/** What a schema makes of its input. */
type OutputOf<TSchema> = TSchema extends { readonly Type: infer T }
  ? T
  : TSchema extends StandardSchemaV1
    ? StandardSchemaV1.InferOutput<TSchema>
    : never

export interface StoreConfig<TSchema extends LiveStoreSchema.Any, TContext> {
  readonly schema: TSchema
  readonly context: TContext
  readonly batchUpdates: (run: () => void) => void
  readonly params: { readonly eventQueryBatchSize: number }
}

/** What the rest of this package needs of a store. */
export interface StoreInternals {
  readonly engine: EngineStore
  readonly sync: SyncOptions | undefined
  isShutdown: boolean
  live(query: Queryable<any>): Live
  /** Runs when the store is shut down. */
  onShutdown(run: () => void): () => void
}
export const StoreInternalsSymbol: unique symbol = Symbol.for('livestore.StoreInternals') as never
export type StoreInternalsSymbol = typeof StoreInternalsSymbol

const COMMIT_OPTIONS = ['label', 'skipRefresh', 'spanLinks', 'otelContext']

/** Whether what comes first are options; none of them may be said. */
const hasOptions = ([first, ...rest]: ReadonlyArray<unknown>): boolean => {
  if (typeof first !== 'object' || first === null || 'name' in first || Array.isArray(first)) return false
  return COMMIT_OPTIONS.some((key) => key in first) || (rest.length > 0 && Object.keys(first).length === 0)
}

/** An open store: commits events, answers queries and tells of changes. */
export class Store<TSchema extends LiveStoreSchema.Any = LiveStoreSchema.Any, TContext = {}> {
  readonly storeId: string
  readonly clientId: string
  readonly sessionId: string
  readonly schema: TSchema
  readonly context: TContext
  readonly storageMode: 'persisted' | 'in-memory'
  readonly params: { readonly eventQueryBatchSize: number }
  readonly [StoreInternalsSymbol]: StoreInternals
  readonly #engine: EngineStore
  readonly #host: StoreHost
  readonly #lives = new Map<string, Live>()
  /** The values of signals that nobody reads for a while. */
  readonly #signals = new WeakMap<LiveQueryDef.Any, unknown>()
  readonly #batchUpdates: (run: () => void) => void
  readonly #endings = new Set<() => void>()
  #computations = 0
  /** What followers are to be told on `manualRefresh`. */
  readonly #deferred = new Set<() => void>()
  #isDeferring = false
  #isClosing = false
  /** Whether `batchUpdates` is at work. */
  #isBatching = false

  constructor(opened: OpenedStore, host: StoreHost, config: StoreConfig<TSchema, TContext>) {
    this.#engine = opened.engine
    this.#host = host
    this.storeId = opened.engine.storeId
    this.clientId = opened.engine.clientId
    this.sessionId = opened.engine.sessionId
    this.storageMode = opened.storageMode
    this.schema = config.schema
    this.context = config.context
    this.params = config.params
    this.#batchUpdates = config.batchUpdates
    this[StoreInternalsSymbol] = {
      engine: opened.engine,
      sync: opened.sync,
      isShutdown: false,
      live: (query) => this.#live(query),
      onShutdown: (run) => {
        this.#endings.add(run)
        return () => this.#endings.delete(run)
      },
    }
  }

  /**
   * Commits events as one group: all of them, or none if one fails, which throws.
   *
   * Takes events, or a function that is given `commit` to collect them with; options may come first.
   */
  readonly commit: {
    (...events: ReadonlyArray<InputEvent<TSchema>>): CommitReceipt
    (collect: (commit: (...events: ReadonlyArray<InputEvent<TSchema>>) => void) => void): CommitReceipt
    (options: StoreCommitOptions, ...events: ReadonlyArray<InputEvent<TSchema>>): CommitReceipt
    (
      options: StoreCommitOptions,
      collect: (commit: (...events: ReadonlyArray<InputEvent<TSchema>>) => void) => void,
    ): CommitReceipt
  } = (...args: any[]): CommitReceipt => {
    this.#guard('commit')
    const options: StoreCommitOptions = hasOptions(args) ? args.shift() : {}
    let events = args as PartialEvent[]
    if (events.length === 1 && typeof args[0] === 'function' && !('schema' in args[0])) {
      events = collected(args[0])
    }
    // Events that depend on something may be none.
    if (events.length === 0 || (args.length === 1 && args[0] === undefined)) return new CommitReceipt(undefined)
    const encoded: string[] = []
    for (const event of events) encoded.push(event?.name, encodeArgs(this, event))
    return this.#inBatch(options.skipRefresh === true, () => {
      this.#host.takeThrown()
      needEngine()
      try {
        return new CommitReceipt(this.#engine.commit(encoded))
      } catch (error) {
        throw fromEngine(error, this.#host.takeThrown())
      }
    })
  }

  #inBatch<T>(skipRefresh: boolean, run: () => T): T {
    let done: { readonly value: T } | undefined
    const [wasDeferring, wasBatching] = [this.#isDeferring, this.#isBatching]
    this.#isDeferring = skipRefresh || wasDeferring
    this.#isBatching = true
    try {
      this.#batchUpdates(() => {
        done = { value: run() }
      })
    } finally {
      this.#isDeferring = wasDeferring
      this.#isBatching = wasBatching
    }
    if (done === undefined) throw new LiveStoreError('QueryError', '`batchUpdates` has not run what it was given')
    return done.value
  }

  /** Tells followers of what `skipRefresh` has kept from them. */
  readonly manualRefresh = (_options?: { readonly label?: string }): void => {
    this.#guard('manualRefresh')
    const deferred = [...this.#deferred]
    this.#deferred.clear()
    this.#inBatch(false, () => {
      for (const tell of deferred) tell()
    })
  }

  /** Answers a query, or reads a signal, at once. */
  readonly query: {
    <TResult>(query: Queryable<TResult>): TResult
    <TQuerySchema extends AnySchema>(query: {
      readonly query: string
      readonly bindValues?: Bindable
      readonly schema: TQuerySchema
    }): OutputOf<TQuerySchema>
    <TRow = any>(query: { readonly query: string; readonly bindValues?: Bindable }): ReadonlyArray<TRow>
  } = (query: any): any => {
    this.#guard('query')
    if (isQueryBuilder(query) || isQueryInputRaw(query)) return this.#read(compileInputRead(query, this.sessionId))
    const live = this.#live(query)
    live.retain()
    try {
      return live.run()
    } finally {
      live.release()
    }
  }

  #read(query: CompiledRead): unknown {
    return decodeAll(query, engine(() => this.#engine.query(query.description, query.values)))
  }

  /** Returns the live query of a definition; there is one for equal definitions, as long as it is used. */
  #live(query: Queryable<any>): Live {
    if (isLiveQueryInstance(query)) {
      if (isLive(query)) {
        if (query.owner !== this) throw new LiveStoreError('QueryError', `the live query ${query.label} is of another store`)
        return query.isDestroyed ? this.#live(query.def) : query
      }
      throw new LiveStoreError('QueryError', 'this live query is of another copy of this package')
    }
    const def = (isQueryBuilder(query) ? defOf(query) : query) as LiveQueryDef.Any
    const recipe = recipeOf(def)
    const found = this.#lives.get(def.hash)
    if (found !== undefined && !found.isDestroyed) return found
    const live = engine(() => this.#make(def, recipe))
    this.#lives.set(def.hash, live)
    return live
  }

  #make(def: LiveQueryDef.Any, recipe: Recipe): Live {
    const context = {
      notify: (tell: () => void) => {
        if (this.#isDeferring) this.#deferred.add(tell)
        else if (this.#isBatching) tell()
        else this.#batchUpdates(tell)
      },
      forget: (live: Live) => {
        if (this.#lives.get(def.hash) === live) this.#lives.delete(def.hash)
        if (live._tag === 'signal') this.#signals.set(def, live.run())
        for (const computation of live.computations) this.#host.computations.delete(computation)
      },
      takeThrown: () => this.#host.takeThrown(),
      owner: this,
    }
    switch (recipe.kind) {
      case 'query': {
        const query = recipe.compile(this.sessionId)
        const handle = this.#engine.liveQuery(query.description, def.label)
        return new Live(def, recipe, handle, context, { query: () => query })
      }
      case 'signal': {
        const value = this.#signals.has(def) ? this.#signals.get(def) : recipe.initial
        return new Live(def, recipe, this.#engine.liveSignal(value), context, {})
      }
      case 'computed': {
        const computation = this.#computations++
        const live: Live = new Live(def, recipe, this.#engine.liveComputed(computation, def.label), context, {
          computations: [computation],
        })
        this.#host.computations.set(computation, (read) => this.#compute(live, read, recipe.compute))
        return live
      }
      case 'choice': {
        const [computation, chosen] = [this.#computations++, this.#computations++]
        let query: CompiledQuery | undefined
        const choice = this.#engine.liveComputed(computation, def.label)
        const live: Live = new Live(def, recipe, this.#engine.liveChoice(chosen, def.label), context, {
          computations: [computation, chosen],
          choice,
          query: () => query as CompiledQuery,
        })
        this.#host.computations.set(computation, (read) => {
          query = compileInput(this.#compute(live, read, recipe.choose), this.sessionId)
          return query.key
        })
        this.#host.computations.set(chosen, (read) => {
          read(choice.id)
          return (query as CompiledQuery).description
        })
        return live
      }
    }
  }

  /** Computes something of what it reads, on which it then depends. */
  #compute<T>(live: Live, read: (live: number) => unknown, compute: (get: GetAtomResult) => T): T {
    return live.computeOf((dependOn) =>
      compute((query) => {
        const dependency = this.#live(query)
        dependOn(dependency)
        engine(() => {
          for (const id of dependency.engineIds) read(id)
        })
        return dependency.run()
      }),
    )
  }

  /** Sets a signal, to a value or to what a function makes of the one before. */
  readonly setSignal = <T>(def: SignalDef<T>, value: T | ((before: T) => T)): void => {
    this.#guard('setSignal')
    const live = this.#live(def)
    const next = typeof value === 'function' ? (value as (before: T) => T)(live.run()) : value
    this.#inBatch(false, () => live.set(next))
  }

  /** Calls a function with the value now and whenever it is another one; or gives values to iterate over, as often as wanted. */
  readonly subscribe: {
    <TResult>(
      query: Queryable<TResult>,
      onUpdate: (value: TResult) => void,
      options?: SubscribeOptions<TResult>,
    ): Unsubscribe
    <TResult>(query: Queryable<TResult>, options?: SubscribeOptions<TResult>): AsyncIterable<TResult>
  } = (query: any, second?: any, third?: any): any => {
    if (typeof second === 'function') return this.#subscribe(query, second, third)
    return {
      [Symbol.asyncIterator]: () =>
        iterate((tell, end) => {
          this.#guard('subscribe')
          const over = () => {
            end()
            second?.onUnsubsubscribe?.()
          }
          return this.#follow(query, (live) => tell(() => live.run()), { ...second, onUnsubsubscribe: over })
        }),
    }
  }

  #subscribe<T>(query: Queryable<T>, onUpdate: (value: T) => void, options: SubscribeOptions<T> = {}): Unsubscribe {
    this.#guard('subscribe')
    return this.#follow(query, (live) => onUpdate(live.run()), options)
  }

  #follow<T>(
    query: Queryable<T>,
    listen: (live: Live) => void,
    options: SubscribeOptions<T>,
  ): Unsubscribe {
    const live = this.#live(query)
    const stop = live.listen(listen)
    let isOver = false
    const end = () => {
      if (isOver) return
      isOver = true
      this.#endings.delete(end)
      stop()
      options.onUnsubsubscribe?.()
    }
    this.#endings.add(end)
    try {
      options.onSubscribe?.(live)
      if (options.skipInitialRun !== true) listen(live)
    } catch (error) {
      end()
      throw error
    }
    return end
  }

  /** Calls a function with how the rows of a query change: all rows come first, then what is new. */
  readonly subscribeDiff = <TRow>(
    query: Queryable<ReadonlyArray<TRow>>,
    onUpdate: (steps: ReadonlyArray<DiffStep<TRow>>, rows: ReadonlyArray<TRow>) => void,
    options: { readonly skipInitialRun?: boolean | undefined } = {},
  ): Unsubscribe => {
    this.#guard('subscribeDiff')
    const live = this.#live(query)
    const steps = live.steps()
    if (options.skipInitialRun === true) steps.take()
    return this.#follow(live, () => onUpdate(steps.take(), live.run()), { ...options, onUnsubsubscribe: steps.end })
  }

  /** Events that the backend has confirmed, those of the log and those that come; ends with `until`, or never. */
  readonly events = (options: StoreEventsOptions<TSchema> = {}): AsyncIterable<LiveStoreEvent.Client.ForSchema<TSchema>> => {
    this.#guard('events')
    const follow = () => followEvents(this.#engine, this.schema, options, this.params.eventQueryBatchSize)
    return { [Symbol.asyncIterator]: follow }
  }

  /** Tells where the store stands towards the backend. */
  readonly syncStatus = (): SyncStatus => {
    this.#guard('syncStatus')
    return syncStatusOf(engine(() => this.#engine.syncStatus()))
  }

  /** Calls a function with the status now and whenever it is another one. */
  readonly subscribeSyncStatus = (onUpdate: (status: SyncStatus) => void): Unsubscribe => {
    this.#guard('subscribeSyncStatus')
    let last: SyncStatus | undefined
    return this.#followEngine((tell) => this.#engine.subscribeSyncStatus(tell), (json) => {
      const status = syncStatusOf(json)
      if (deepEqual(status, last)) return
      last = status
      onUpdate(status)
    })
  }

  /** The connection to the backend. */
  readonly networkStatus: {
    get(): NetworkStatus
    subscribe(onUpdate: (status: NetworkStatus) => void): Unsubscribe
  } = {
    get: () => networkStatusOf(this.syncStatus()),
    subscribe: (onUpdate) => {
      let isConnected: boolean | undefined
      return this.subscribeSyncStatus((status) => {
        const now = networkStatusOf(status)
        if (now.isConnected === isConnected) return
        isConnected = now.isConnected
        onUpdate(now)
      })
    },
  }

  /** Tries to connect to the backend now. */
  readonly retryNow = (): void => {
    this.#guard('retryNow')
    engine(() => this.#engine.retryNow())
  }

  /** Own groups that could not be kept, with the reasons. */
  readonly deadLetters = (): ReadonlyArray<DeadLetter> => {
    this.#guard('deadLetters')
    return JSON.parse(engine(() => this.#engine.deadLetters()))
  }

  /** Calls a function with the dead letters now and whenever they are others. */
  readonly subscribeDeadLetters = (onUpdate: (letters: ReadonlyArray<DeadLetter>) => void): Unsubscribe => {
    this.#guard('subscribeDeadLetters')
    return this.#followEngine((tell) => this.#engine.subscribeDeadLetters(tell), (json) => onUpdate(JSON.parse(json)))
  }

  /** Commits the events of a dead letter anew. */
  readonly retryDeadLetter = (groupId: string): CommitReceipt => {
    this.#guard('retryDeadLetter')
    return new CommitReceipt(engine(() => this.#engine.retryDeadLetter(groupId)))
  }

  /** Drops a dead letter; returns whether there was one. */
  readonly acknowledgeDeadLetter = (groupId: string): boolean => {
    this.#guard('acknowledgeDeadLetter')
    return engine(() => this.#engine.acknowledgeDeadLetter(groupId))
  }

  /** Confirmed events that this release of the app could not materialize, and has skipped. */
  readonly quarantined = (): ReadonlyArray<Record<string, unknown>> => {
    this.#guard('quarantined')
    return JSON.parse(engine(() => this.#engine.quarantined()))
  }

  #followEngine(
    subscribe: (tell: (json: string) => void) => EngineSubscription,
    onUpdate: (json: string) => void,
  ): Unsubscribe {
    const subscription = engine(() =>
      subscribe((json) => {
        try {
          this.#batchUpdates(() => onUpdate(json))
        } catch (error) {
          report(error)
        }
      }),
    )
    const end = () => {
      if (this.#endings.delete(end)) subscription.free()
    }
    this.#endings.add(end)
    return end
  }

  #guard(doing: string): void {
    if (this[StoreInternalsSymbol].isShutdown) {
      throw new LiveStoreError('StoreClosed', `Store has been shut down (while performing "${doing}").`)
    }
    if (isComputing() && !READING.has(doing)) {
      throw new LiveStoreError('StoreInComputed', `${doing} is not possible while a query is computed`)
    }
  }

  /** Closes the store; whatever uses it afterwards throws. */
  readonly shutdown = (): void => {
    const internals = this[StoreInternalsSymbol]
    // What ends may ask for it again.
    if (internals.isShutdown || this.#isClosing) return
    this.#guard('shutdown')
    if (isMaterializing()) throw new LiveStoreError('StoreInMaterializer', 'shutdown is not possible in a materializer')
    this.#isClosing = true
    try {
      for (const end of [...this.#endings]) {
        try {
          end()
        } catch (error) {
          // What a store does that was left half done tells nobody anything.
          if (!isStopped()) report(error)
        }
      }
      for (const live of [...this.#lives.values()]) live.destroy()
      if (!isStopped()) engine(() => this.#engine.shutdown())
      internals.isShutdown = true
    } finally {
      this.#isClosing = false
    }
  }

  /** Closes the store. */
  readonly shutdownPromise = async (_cause?: unknown): Promise<void> => {
    this.shutdown()
  }
}

/** What may be done while a query is computed. */
const READING = new Set(['query', 'syncStatus', 'deadLetters', 'quarantined'])
