import type { Adapter, AdapterMode, InitialSyncOptions, OpenedStore, SyncOptions } from '@livestore-rs/common'
import { wellFormed } from '@livestore-rs/common/internal'
import { nanoid } from 'nanoid'

import type { EngineModule } from './engine-module.js'

export interface InMemoryAdapterOptions<TInitial extends InitialSyncOptions = InitialSyncOptions> {
  /** How the store syncs; without it, it stays alone. */
  readonly sync?: SyncOptions<TInitial> | undefined
  /** Who commits; a new one each time, if it is not given. */
  readonly clientId?: string | undefined
  readonly sessionId?: string | undefined
}

type Skip = Extract<InitialSyncOptions, { readonly _tag: 'Skip' }>
type Blocking = Extract<InitialSyncOptions, { readonly _tag: 'Blocking' }>

/** Makes adapters; stores come later if they wait for the first sync. */
export interface MakeInMemoryAdapter {
  (options?: InMemoryAdapterOptions<Skip>): Adapter<'sync'>
  (options: { readonly sync: { readonly initialSyncOptions: Blocking } } & InMemoryAdapterOptions<Blocking>): Adapter<'async'>
  (options: InMemoryAdapterOptions | undefined): Adapter
}

/** Makes the function that makes adapters on a build of the engine. */
export const inMemoryAdapterOn = (engine: EngineModule): MakeInMemoryAdapter =>
  ((options: InMemoryAdapterOptions = {}): Adapter => {
    const { sync, clientId = nanoid(6), sessionId } = options
    const backend = sync?.backend
    const mode: AdapterMode = sync?.initialSyncOptions?._tag === 'Blocking' ? 'async' : 'sync'
    return {
      mode,
      sync,
      open: ({ storeId, options, host }): OpenedStore => {
        const all = {
          ...options,
          storeId,
          clientId,
          ...(sessionId === undefined ? {} : { sessionId }),
          ...(backend === undefined ? {} : { sync: { url: backend.url, hasTokens: backend.token !== undefined } }),
        }
        return { engine: new engine.StoreHandle(wellFormed(JSON.stringify(all)), host), storageMode: 'in-memory', sync }
      },
    }
  }) as MakeInMemoryAdapter
