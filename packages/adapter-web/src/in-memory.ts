import type { Adapter, AdapterMode, OpenedStore, SyncOptions } from '@livestore-rs/common'
import { nanoid } from '@livestore-rs/common'

import type { EngineModule } from './engine-module.js'

export interface InMemoryAdapterOptions {
  /** How the store syncs; without it, it stays alone. */
  readonly sync?: SyncOptions | undefined
  /** Who commits; a new one each time, if it is not given. */
  readonly clientId?: string | undefined
  readonly sessionId?: string | undefined
}

/** What is said of the first sync; nothing if there is nothing. */
type InitialOf<TOptions> = 'sync' extends keyof TOptions
  ? NonNullable<TOptions['sync' & keyof TOptions]> extends infer TSync
    ? 'initialSyncOptions' extends keyof TSync
      ? TSync['initialSyncOptions' & keyof TSync]
      : undefined
    : undefined
  : undefined

/** Stores come later if they wait for the first sync. */
type ModeOf<TOptions> = [InitialOf<TOptions>] extends [{ readonly _tag: 'Skip' } | undefined]
  ? 'sync'
  : [InitialOf<TOptions>] extends [{ readonly _tag: 'Blocking' }]
    ? 'async'
    : AdapterMode

/** Makes the function that makes adapters on a build of the engine. */
export const inMemoryAdapterOn =
  (engine: EngineModule) =>
  <const TOptions extends InMemoryAdapterOptions = {}>(
    options?: TOptions,
  ): Adapter<ModeOf<TOptions>> => {
    const { sync, clientId = nanoid(6), sessionId }: InMemoryAdapterOptions = options ?? {}
    const backend = sync?.backend
    const waitsFirst = sync?.initialSyncOptions?._tag === 'Blocking'
    const adapter: Adapter = {
      mode: waitsFirst ? 'async' : 'sync',
      sync,
      open: ({ storeId, options, host }): OpenedStore => {
        const all = {
          ...options,
          storeId,
          clientId,
          ...(sessionId === undefined ? {} : { sessionId }),
          ...(backend === undefined ? {} : { sync: { url: backend.url, hasTokens: backend.token !== undefined } }),
        }
        return { engine: new engine.StoreHandle(JSON.stringify(all), host), storageMode: 'in-memory', sync }
      },
    }
    return adapter as Adapter<ModeOf<TOptions>>
  }
