import type { Adapter, AdapterArgs, AdapterMode, InitialSyncOptions, OpenedStore } from './adapter.js'
import type { BootStatus } from './boot-status.js'
import { engine, LiveStoreError, report } from './errors.js'
import { describeSchema, isLiveStoreSchema, type LiveStoreSchema } from './schema.js'
import { StoreHost } from './store-host.js'
import { Store, StoreInternalsSymbol } from './store.js'

declare global {
  var __debugLiveStore: Record<string, Store<any, any>> | undefined
}

/** What has changed in the state's tables since the store was opened last. */
export interface MigrationsReport {
  readonly migrations: ReadonlyArray<{
    readonly tableName: string
    readonly hashes: { readonly expected: number; readonly actual?: number }
  }>
}

export interface CreateStoreOptions<
  TSchema extends LiveStoreSchema.Any = LiveStoreSchema.Any,
  TContext = {},
  TMode extends AdapterMode = AdapterMode,
  TBoot = unknown,
> {
  readonly schema: TSchema
  readonly adapter: Adapter<TMode>
  /** Letters, digits, `_` and `-`. */
  readonly storeId: string
  /** Whatever the app wants to find at its store. */
  readonly context?: TContext | undefined
  /** Runs before anybody else has the store, each time that it is opened. */
  readonly boot?: (store: Store<TSchema, TContext>, context: { readonly migrationsReport: MigrationsReport }) => TBoot
  readonly onBootStatus?: ((status: BootStatus) => void) | undefined
  /** Runs what tells followers, for frameworks that want to know when it is over. */
  readonly batchUpdates?: ((run: () => void) => void) | undefined
  /** Asks before a page is left that has changes which would be lost; true by default. */
  readonly confirmUnsavedChanges?: boolean | undefined
  readonly disableDevtools?: boolean | 'auto' | undefined
  readonly params?: {
    /** How many events `events()` fetches at once; 100 by default. */
    readonly eventQueryBatchSize?: number | undefined
    readonly leaderPushBatchSize?: number | undefined
  }
  readonly debug?: { readonly instanceId?: string } | undefined
}

export type CreateStoreOptionsPromise<
  TSchema extends LiveStoreSchema.Any = LiveStoreSchema.Any,
  TContext = {},
> = CreateStoreOptions<TSchema, TContext> & {
  /** Closes the store, or gives up opening it. */
  readonly signal?: AbortSignal | undefined
}

/** A promise, if opening or booting is one; both, if that is not known. */
type Created<TStore, TMode extends AdapterMode, TBoot> = [TMode] extends ['async']
  ? Promise<TStore>
  : [TBoot] extends [PromiseLike<unknown>]
    ? Promise<TStore>
    : [TMode] extends ['sync']
      ? unknown extends TBoot
        ? TStore | Promise<TStore>
        : [Extract<TBoot, PromiseLike<unknown>>] extends [never]
          ? TStore
          : TStore | Promise<TStore>
      : TStore | Promise<TStore>

const isPromise = (value: unknown): value is PromiseLike<unknown> =>
  typeof value === 'object' && value !== null && 'then' in value

/** Goes on with a value, at once if it is there. */
const then = <A, B>(value: A | PromiseLike<A>, next: (value: A) => B | PromiseLike<B>): B | Promise<B> =>
  isPromise(value) ? (Promise.resolve(value).then(next as any) as Promise<B>) : (next(value) as B)

const STORE_ID = /^[a-zA-Z0-9_-]+$/

/** Opens a store: at once if the adapter can, and with a promise otherwise. */
export const createStore = <
  TSchema extends LiveStoreSchema.Any,
  TContext = {},
  TMode extends AdapterMode = AdapterMode,
  TBoot = void,
>(
  options: CreateStoreOptions<TSchema, TContext, TMode, TBoot>,
): Created<Store<TSchema, TContext>, TMode, TBoot> =>
  openStore(options as CreateStoreOptions<TSchema, TContext>) as Created<Store<TSchema, TContext>, TMode, TBoot>

/** As `createStore`; the signal closes the store, however far it has come. */
export const openStore = <TSchema extends LiveStoreSchema.Any, TContext>(
  options: CreateStoreOptions<TSchema, TContext>,
  signal?: AbortSignal,
): Store<TSchema, TContext> | Promise<Store<TSchema, TContext>> => {
  try {
    signal?.throwIfAborted()
    return open(options, signal)
  } catch (error) {
    // Whoever is given promises by the adapter does not expect that anything throws.
    if (options.adapter?.mode === 'async') return Promise.reject(error)
    throw error
  }
}

const open = <TSchema extends LiveStoreSchema.Any, TContext>(
  options: CreateStoreOptions<TSchema, TContext>,
  signal: AbortSignal | undefined,
): Store<TSchema, TContext> | Promise<Store<TSchema, TContext>> => {
  const { schema, adapter, storeId } = options
  if (typeof adapter?.open !== 'function') {
    throw new LiveStoreError('OpenError', 'a store needs an adapter, such as that of makeInMemoryAdapter()')
  }
  if (!isLiveStoreSchema(schema)) throw new LiveStoreError('OpenError', 'a store needs a schema, made with makeSchema()')
  if (typeof storeId !== 'string' || !STORE_ID.test(storeId)) {
    throw new LiveStoreError('InvalidStoreId', `a store id has letters, digits, _ and -, and is not ${JSON.stringify(storeId)}`)
  }
  if ((options as { syncPayload?: unknown }).syncPayload !== undefined) {
    throw new LiveStoreError('OpenError', 'there is no syncPayload here: give the backend a token, as in makeWsSync({ url, token })')
  }
  const tell = (status: BootStatus) => {
    try {
      options.onBootStatus?.(status)
    } catch (error) {
      report(error)
    }
  }
  tell({ stage: 'loading' })
  const host = new StoreHost(schema, adapter.sync)
  const args: AdapterArgs = {
    storeId,
    options: { schema: describeSchema(schema), unknownEvents: schema.unknownEventHandling.strategy },
    host,
  }
  return then(
    engine(() => adapter.open(args)),
    (opened: OpenedStore) => {
      const store = new Store<TSchema, TContext>(opened, host, {
        schema,
        context: options.context ?? ({} as TContext),
        batchUpdates: options.batchUpdates ?? ((run) => run()),
        params: { eventQueryBatchSize: options.params?.eventQueryBatchSize ?? 100 },
      })
      const fail = (error: unknown): never => {
        store.shutdown()
        // What follows from that is not why it was not opened.
        signal?.throwIfAborted()
        throw error
      }
      const checkOpen = () => {
        if (store[StoreInternalsSymbol].isShutdown) throw closedMeanwhile()
      }
      const booted = () => {
        checkOpen()
        const boot = options.boot?.(store, { migrationsReport: { migrations: [] } })
        return then(boot as unknown, () => {
          checkOpen()
          tellWarnings(opened.engine, store)
          if (options.confirmUnsavedChanges !== false) confirmUnsavedChanges(store)
          expose(store)
          tell({ stage: 'done' })
          return store
        })
      }
      try {
        closeWith(signal, store)
        checkOpen()
        connectWhenOnline(store)
        const result = then(initialSync(store, opened.sync?.initialSyncOptions, tell), booted)
        return isPromise(result) ? unlessClosed(store, result).catch(fail) : result
      } catch (error) {
        return fail(error)
      }
    },
  )
}

const closedMeanwhile = () => new LiveStoreError('StoreClosed', 'Store has been shut down (while it was opened).')

/** What comes of opening a store, if it is not closed before that. */
const unlessClosed = <T>(store: Store<any, any>, result: PromiseLike<T>): Promise<T> =>
  new Promise((resolve, reject) => {
    const forget = store[StoreInternalsSymbol].onShutdown(() => reject(closedMeanwhile()))
    result.then(
      (value) => {
        forget()
        resolve(value)
      },
      (error: unknown) => {
        forget()
        reject(error)
      },
    )
  })

/** Closes a store when a signal says so. */
const closeWith = (signal: AbortSignal | undefined, store: Store<any, any>): void => {
  if (signal === undefined) return
  const close = () => store.shutdown()
  if (signal.aborted) close()
  signal.addEventListener('abort', close, { once: true })
  store[StoreInternalsSymbol].onShutdown(() => signal.removeEventListener('abort', close))
}

const UNITS: Record<string, number> = { milli: 1, second: 1000, minute: 60_000 }

/** Reads `500`, `5 seconds`. */
const millis = (timeout: number | string): number => {
  if (typeof timeout === 'number') return timeout
  const [, amount, unit = 'milli'] = /^(\d+(?:\.\d+)?)\s*(milli|second|minute)s?$/.exec(timeout) ?? []
  if (amount === undefined) throw new LiveStoreError('OpenError', `this is no time: ${timeout}`)
  return Number(amount) * (UNITS[unit] as number)
}

/** Waits until the store has what the backend has, or for as long as the app wants. */
const initialSync = (
  store: Store<any, any>,
  options: InitialSyncOptions | undefined,
  tell: (status: BootStatus) => void,
): void | Promise<void> => {
  if (options?._tag !== 'Blocking') return
  const timeout = Math.min(millis(options.timeout), 2 ** 31 - 1)
  return new Promise<void>((resolve) => {
    const timer = setTimeout(done, timeout)
    let stop: (() => void) | undefined
    let isDone = false
    function done() {
      isDone = true
      clearTimeout(timer)
      forget()
      stop?.()
      resolve()
    }
    // Whoever goes on then sees that it is closed.
    const forget = store[StoreInternalsSymbol].onShutdown(done)
    stop = store.subscribeSyncStatus((status) => {
      const has = status.backendHead !== undefined && status.confirmedHead >= status.backendHead
      tell({ stage: 'syncing', progress: { done: status.confirmedHead, total: status.backendHead ?? -1 } })
      if (has || status.connection === 'stopped' || status.connection === 'noBackend') done()
    })
    if (isDone) stop()
  })
}

/** Asks before a page is left with changes that no other place has. */
const confirmUnsavedChanges = (store: Store<any, any>): void => {
  const { window } = globalThis as { window?: Window }
  const internals = store[StoreInternalsSymbol]
  // Without a backend everything ends with the page, as the app wants it.
  if (typeof window?.addEventListener !== 'function' || internals.sync?.backend === undefined) return
  if (store.storageMode !== 'in-memory') return
  const ask = (event: BeforeUnloadEvent) => {
    if (store.syncStatus().pendingCount > 0) event.preventDefault()
  }
  window.addEventListener('beforeunload', ask)
  internals.onShutdown(() => window.removeEventListener('beforeunload', ask))
}

/** Connects when there is a network again, and not only when it would be tried anyway. */
const connectWhenOnline = (store: Store<any, any>): void => {
  const { addEventListener, removeEventListener } = globalThis
  if (typeof addEventListener !== 'function' || store[StoreInternalsSymbol].sync?.backend === undefined) return
  const connect = () => store.retryNow()
  addEventListener('online', connect)
  store[StoreInternalsSymbol].onShutdown(() => removeEventListener('online', connect))
}

/** Tells in the console what the engine warns of: events that the schema does not have, for one. */
const tellWarnings = (engineStore: OpenedStore['engine'], store: Store<any, any>): void => {
  const told = new Set<string>()
  const subscription = engineStore.subscribeWarnings((json) => {
    const warnings: ReadonlyArray<{ readonly message: string }> = JSON.parse(json)
    for (const { message } of warnings) {
      if (told.has(message)) continue
      told.add(message)
      console.warn(`LiveStore (${store.storeId}): ${message}`)
    }
  })
  store[StoreInternalsSymbol].onShutdown(() => subscription.free())
}

/** Lets stores be looked at from the console. */
const expose = (store: Store<any, any>): void => {
  const stores = (globalThis.__debugLiveStore ??= {})
  stores[store.storeId] = store
  store[StoreInternalsSymbol].onShutdown(() => {
    if (stores[store.storeId] === store) delete stores[store.storeId]
  })
}

/** Opens a store with a promise, whatever the adapter is. */
export const createStorePromise = async <TSchema extends LiveStoreSchema.Any, TContext = {}>(
  options: CreateStoreOptionsPromise<TSchema, TContext>,
): Promise<Store<TSchema, TContext>> => {
  return await openStore(options, options.signal)
}
