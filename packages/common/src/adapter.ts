import type { EngineHost, EngineOptions, EngineStore } from './engine.js'

/** Why a token is asked for: the store connects, or the server did not want the last one any more. */
export type TokenRequest = 'connect' | 'renew'

/** A backend that stores sync with. */
export interface SyncBackend {
  readonly kind: 'ws'
  readonly url: string
  readonly token: ((request: TokenRequest) => string | Promise<string>) | undefined
}

/** Whether opening a store waits until it has what the backend has. */
export type InitialSyncOptions =
  | { readonly _tag: 'Skip' }
  | {
      readonly _tag: 'Blocking'
      /** Milliseconds, or a text such as `5 seconds`. */
      readonly timeout: number | string
    }

export interface SyncOptions<TInitial extends InitialSyncOptions = InitialSyncOptions> {
  readonly backend?: SyncBackend | undefined
  readonly initialSyncOptions?: TInitial | undefined
}

/** What an adapter is told of the store that is to be opened. */
export interface AdapterArgs {
  readonly storeId: string
  readonly options: Omit<EngineOptions, 'storeId' | 'clientId' | 'sessionId' | 'sync'>
  readonly host: EngineHost
}

/** What an adapter has opened. */
export interface OpenedStore {
  readonly engine: EngineStore
  readonly storageMode: 'persisted' | 'in-memory'
  readonly sync: SyncOptions | undefined
}

/** Whether stores can be had at once or come later. */
export type AdapterMode = 'sync' | 'async'

/** Where a store lives and how it gets there. */
export interface Adapter<TMode extends AdapterMode = AdapterMode> {
  readonly mode: TMode
  readonly sync: SyncOptions | undefined
  open(args: AdapterArgs): TMode extends 'sync' ? OpenedStore : OpenedStore | Promise<OpenedStore>
}
