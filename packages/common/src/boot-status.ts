/** How far opening a store has come. */
export type BootStatus =
  | { readonly stage: 'loading' }
  | { readonly stage: 'migrating'; readonly progress: Progress }
  | { readonly stage: 'rehydrating'; readonly progress: Progress }
  | { readonly stage: 'syncing'; readonly progress: Progress }
  | { readonly stage: 'done' }
  | {
      readonly stage: 'warning'
      readonly reason: 'private-browsing' | 'storage-unavailable' | 'unknown'
      readonly message: string
    }

export interface Progress {
  readonly done: number
  /** -1 if it is not known. */
  readonly total: number
}
