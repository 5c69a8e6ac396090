import type { Store, SyncStatus } from '@livestore-rs/common'
import { deepEqual, StoreInternalsSymbol } from '@livestore-rs/common/internal'
import * as React from 'react'

const last = new WeakMap<Store<any, any>, SyncStatus>()

const isClosed = (store: Store<any, any>) => store[StoreInternalsSymbol].isShutdown

/** The status, the same object as long as it is equal. */
const statusOf = (store: Store<any, any>): SyncStatus => {
  const before = last.get(store)
  if (before !== undefined && isClosed(store)) return before
  const now = store.syncStatus()
  if (before !== undefined && deepEqual(before, now)) return before
  last.set(store, now)
  return now
}

/** Returns where the store stands towards the backend. */
export const useSyncStatus = ({ store }: { readonly store: Store<any, any> }): SyncStatus => {
  const [subscribe, status] = React.useMemo(
    () => {
      const subscribe = (onChange: () => void) => (isClosed(store) ? () => {} : store.subscribeSyncStatus(onChange))
      return [subscribe, () => statusOf(store)] as const
    },
    [store],
  )
  return React.useSyncExternalStore(subscribe, status, status)
}
