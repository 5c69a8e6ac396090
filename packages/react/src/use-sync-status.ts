import type { Store, SyncStatus } from '@livestore-rs/common'
import { deepEqual, StoreInternalsSymbol } from '@livestore-rs/common/internal'
import * as React from 'react'

const last = new WeakMap<Store<any, any>, SyncStatus>()

/** The status, the same object as long as it is equal. */
const statusOf = (store: Store<any, any>): SyncStatus => {
  const before = last.get(store)
  if (before !== undefined && store[StoreInternalsSymbol].isShutdown) return before
  const now = store.syncStatus()
  if (before !== undefined && deepEqual(before, now)) return before
  last.set(store, now)
  return now
}

/** Returns where the store stands towards the backend. */
export const useSyncStatus = ({ store }: { readonly store: Store<any, any> }): SyncStatus => {
  const [subscribe, status] = React.useMemo(
    () => [(onChange: () => void) => store.subscribeSyncStatus(onChange), () => statusOf(store)] as const,
    [store],
  )
  return React.useSyncExternalStore(subscribe, status, status)
}
