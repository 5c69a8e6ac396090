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

const apis = new WeakMap<object, ReactApi>()

/** The functions of a store, which know it also when they are called by themselves. */
const apiOf = (store: Store<any, any>): ReactApi => {
  let api = apis.get(store)
  if (api === undefined) {
    api = {
      useQuery: (queryable) => useQuery(queryable, { store }),
      useClientDocument: (table: any, id?: any, options?: any) =>
        (useClientDocument as any)(table, id, options, { store }),
      useSyncStatus: () => useSyncStatus({ store }),
    }
    apis.set(store, api)
  }
  return api
}

for (const name of ['useQuery', 'useClientDocument', 'useSyncStatus'] as const) {
  Object.defineProperty(Store.prototype, name, {
    configurable: true,
    get(this: Store<any, any>) {
      return apiOf(this)[name]
    },
  })
}

/** Returns the store with what this package adds: also one of another copy of LiveStore. */
export const withReactApi = <TStore extends Store<any, any>>(store: TStore): TStore & ReactApi =>
  'useQuery' in store ? store : Object.assign(store as TStore, apiOf(store))
