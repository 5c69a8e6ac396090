import type { BootStatus } from './boot-status.js'
import { isEqual } from './codec.js'
import { type CreateStoreOptions, openStore } from './create-store.js'
import { LiveStoreError } from './errors.js'
import { describeSchema, type LiveStoreSchema } from './schema.js'
import { type Store, StoreInternalsSymbol } from './store.js'

/** How long a store stays open that nobody uses, in milliseconds. */
export const DEFAULT_UNUSED_CACHE_TIME = typeof window === 'undefined' ? Number.POSITIVE_INFINITY : 60_000

/** How long it is known that a store could not be opened, in milliseconds. */
const FAILED_MS = 1000

/** The longest time that a timer can wait, in milliseconds. */
const LONGEST_MS = 2 ** 31 - 1

/** How long whoever has asked for a store may take to use it, in milliseconds. */
const FIRST_USE_MS = 5000

export interface RegistryStoreOptions<TSchema extends LiveStoreSchema.Any = LiveStoreSchema.Any, TContext = {}>
  extends CreateStoreOptions<TSchema, TContext> {
  /** How long the store stays open when nobody uses it, in milliseconds; `Infinity` for ever. */
  readonly unusedCacheTime?: number
}

export interface StoreRegistryConfig {
  readonly defaultOptions?: Partial<
    Pick<RegistryStoreOptions, 'batchUpdates' | 'disableDevtools' | 'confirmUnsavedChanges' | 'debug' | 'unusedCacheTime'>
  >
}

type AnyStore = Store<any, any>

interface Entry {
  readonly schema: LiveStoreSchema.Any
  readonly unusedCacheTime: number
  store: AnyStore | undefined
  promise: Promise<AnyStore> | undefined
  uses: number
  /** Whether somebody has used it yet. */
  wasUsed: boolean
  timer: ReturnType<typeof setTimeout> | undefined
  /** Ends opening it. */
  readonly opening: AbortController
}

/** Whether closing a store loses what the backend does not have yet. */
const isNeeded = (store: AnyStore | undefined): boolean => {
  if (store === undefined || store[StoreInternalsSymbol].isShutdown || store.storageMode !== 'in-memory') return false
  return store[StoreInternalsSymbol].sync?.backend !== undefined && store.syncStatus().pendingCount > 0
}

/** Whether both have the same tables and events, as those of a module that was loaded anew. */
const isSameSchema = (left: LiveStoreSchema.Any, right: LiveStoreSchema.Any): boolean =>
  left === right || isEqual(describeSchema(left), describeSchema(right))

/** Opens stores once for all who want them, and closes those that nobody uses any more. */
export class StoreRegistry {
  readonly #defaults: NonNullable<StoreRegistryConfig['defaultOptions']>
  readonly #entries = new Map<string, Entry>()
  #isDisposed = false

  constructor(config: StoreRegistryConfig = {}) {
    this.#defaults = config.defaultOptions ?? {}
  }

  /** Returns the store if it is open, and else a promise: the same one until it is. */
  readonly getOrLoadPromise = <TSchema extends LiveStoreSchema.Any, TContext = {}>(
    options: RegistryStoreOptions<TSchema, TContext>,
  ): Store<TSchema, TContext> | Promise<Store<TSchema, TContext>> => {
    const entry = this.#entry(options)
    return (entry.store ?? entry.promise) as Store<TSchema, TContext> | Promise<Store<TSchema, TContext>>
  }

  #entry(options: RegistryStoreOptions<any, any>): Entry {
    if (this.#isDisposed) throw new LiveStoreError('StoreClosed', 'the registry of stores was disposed of')
    const { storeId } = options
    const found = this.#entries.get(storeId)
    if (found !== undefined && found.store?.[StoreInternalsSymbol].isShutdown !== true) {
      if (isSameSchema(found.schema, options.schema)) return found
      const why = 'is open with another schema; if you have just changed it, reload the page'
      throw new LiveStoreError('OpenError', `the store ${storeId} ${why}`)
    }
    // Components ask for stores while they render, and no state may be set then.
    const onBootStatus = (status: BootStatus) => queueMicrotask(() => options.onBootStatus?.(status))
    const all = { ...this.#defaults, ...options, onBootStatus }
    const entry: Entry = {
      schema: options.schema,
      unusedCacheTime: all.unusedCacheTime ?? DEFAULT_UNUSED_CACHE_TIME,
      store: undefined,
      promise: undefined,
      uses: 0,
      wasUsed: false,
      timer: undefined,
      opening: new AbortController(),
    }
    const opened = openStore(all, entry.opening.signal)
    if (opened instanceof Promise) {
      entry.promise = opened.then(
        (store) => {
          if (this.#entries.get(storeId) !== entry) {
            store.shutdown()
            throw new LiveStoreError('StoreClosed', 'the registry of stores was disposed of')
          }
          entry.store = store
          entry.promise = undefined
          this.#schedule(storeId, entry)
          return store
        },
        (error: unknown) => {
          // Whoever asks again opens it again, but not those who have waited: they ask anew to be told.
          const forget: { unref?: () => void } = setTimeout(() => {
            if (this.#entries.get(storeId) === entry) this.#entries.delete(storeId)
          }, FAILED_MS) as never
          forget.unref?.()
          throw error
        },
      )
      entry.promise.catch(() => {})
    } else {
      entry.store = opened
    }
    this.#entries.set(storeId, entry)
    this.#schedule(storeId, entry)
    return entry
  }

  /** Closes a store in a while, if nobody uses it. */
  #schedule(storeId: string, entry: Entry): void {
    clearTimeout(entry.timer)
    entry.timer = undefined
    if (entry.uses > 0 || entry.promise !== undefined || entry.unusedCacheTime === Number.POSITIVE_INFINITY) return
    const wait = entry.wasUsed ? entry.unusedCacheTime : Math.max(entry.unusedCacheTime, FIRST_USE_MS)
    entry.timer = setTimeout(() => {
      if (isNeeded(entry.store)) {
        this.#schedule(storeId, entry)
        return
      }
      if (this.#entries.get(storeId) === entry) this.#entries.delete(storeId)
      entry.store?.shutdown()
    }, Math.min(Math.max(wait, isNeeded(entry.store) ? 1000 : 0), LONGEST_MS))
    ;(entry.timer as { unref?: () => void }).unref?.()
  }

  /** Keeps a store open until the function that this returns is called. */
  readonly retain = (options: RegistryStoreOptions<any, any>): (() => void) => {
    const { storeId } = options
    const entry = this.#entry(options)
    entry.uses++
    entry.wasUsed = true
    clearTimeout(entry.timer)
    let isReleased = false
    return () => {
      if (isReleased) return
      isReleased = true
      entry.uses--
      this.#schedule(storeId, entry)
    }
  }

  /** Opens a store for later; whoever wants it then is told if that fails. */
  readonly preload = async (options: RegistryStoreOptions<any, any>): Promise<void> => {
    try {
      await this.getOrLoadPromise(options)
    } catch {
      // It is tried again when it is needed.
    }
  }

  /** Closes all stores. */
  readonly dispose = async (): Promise<void> => {
    this.#isDisposed = true
    const entries = [...this.#entries.values()]
    this.#entries.clear()
    for (const entry of entries) {
      clearTimeout(entry.timer)
      if (entry.store === undefined) {
        entry.opening.abort(new LiveStoreError('StoreClosed', 'the registry of stores was disposed of'))
      } else {
        entry.store.shutdown()
      }
    }
  }
}

/** Gives the options of a store their types. */
export const storeOptions = <TSchema extends LiveStoreSchema.Any, TContext = {}>(
  options: RegistryStoreOptions<TSchema, TContext>,
): RegistryStoreOptions<TSchema, TContext> => options
