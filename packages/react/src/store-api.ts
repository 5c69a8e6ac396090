import type { Queryable, SyncStatus } from '@livestore-rs/common'
import { Store } from '@livestore-rs/common'

import { type UseClientDocument, useClientDocument } from './use-client-document.js'
import { useQuery } from './use-query.js'
import { useSyncStatus } from './use-sync-status.js'

/** What this package adds to stores. */
export interface ReactApi {
  /** Returns the value of a query, and renders the component anew when it is another one. */
  useQuery<TQueryable extends Queryable<any>>(queryable: TQueryable): Queryable.Result<TQueryable>
  /** Returns a client document with a function that sets it. */
  useClientDocument: UseClientDocument
  /** Returns where the store stands towards the backend. */
  useSyncStatus(): SyncStatus
}

declare module '@livestore-rs/common' {
  interface Store<TSchema extends import('@livestore-rs/common').LiveStoreSchema.Any, TContext> extends ReactApi {}
}

const api = {
  useQuery(this: Store<any, any>, queryable: Queryable<any>) {
    return useQuery(queryable, { store: this })
  },
  useClientDocument(this: Store<any, any>, table: any, id?: any, options?: any) {
    return (useClientDocument as any)(table, id, options, { store: this })
  },
  useSyncStatus(this: Store<any, any>) {
    return useSyncStatus({ store: this })
  },
}
Object.assign(Store.prototype, api)

/** Returns the store with what this package adds: also one of another copy of LiveStore. */
export const withReactApi = <TStore extends Store<any, any>>(store: TStore): TStore & ReactApi =>
  'useQuery' in store ? store : (Object.assign(store, api) as unknown as TStore & ReactApi)
