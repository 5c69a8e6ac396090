import type { LiveQuery, Queryable, Store } from '@livestore-rs/common'
import { isWrittenAs, type Live, StoreInternalsSymbol } from '@livestore-rs/common/internal'
import * as React from 'react'

export interface UseQueryOptions {
  readonly store?: Store<any, any>
}

/** Finds the live query, also if nobody has used the one that was found before and it is gone. */
const finder = (store: Store<any, any>, queryable: Queryable<any>): (() => Live) => {
  const internals = store[StoreInternalsSymbol]
  let live = internals.live(queryable)
  return () => {
    if (live.isDestroyed && !internals.isShutdown) live = internals.live(queryable)
    return live
  }
}

const nothing = () => {}

const storeOf = (options: UseQueryOptions | undefined): Store<any, any> => {
  if (options?.store !== undefined) return options.store
  throw new Error('No store provided to useQuery: use `store.useQuery`, or give the store as an option')
}

/** Returns the value of a query, and renders the component anew when it is another one. */
export const useQuery = <TQueryable extends Queryable<any>>(
  queryable: TQueryable,
  options?: UseQueryOptions,
): Queryable.Result<TQueryable> => useQueryRef(queryable, options).valueRef.current

/** As `useQuery`, with the live query. */
export const useQueryRef = <TQueryable extends Queryable<any>>(
  queryable: TQueryable,
  options?: UseQueryOptions,
): {
  readonly valueRef: { readonly current: Queryable.Result<TQueryable> }
  readonly queryRcRef: { readonly value: LiveQuery<Queryable.Result<TQueryable>> }
} => {
  const store = storeOf(options)
  const internals = store[StoreInternalsSymbol]
  const shown = React.useRef<{ readonly store: object; readonly live: Live } | undefined>(undefined)
  // What a store has shown that is closed stays, until whoever has closed it takes the component away.
  const last = internals.isShutdown && shown.current?.store === store ? shown.current.live : undefined
  const live = last !== undefined && isWrittenAs(last, queryable) ? last : internals.live(queryable)
  // Not while it renders: what is rendered may be thrown away.
  React.useInsertionEffect(() => {
    shown.current = { store, live }
  }, [store, live])
  // Queries that are equal have the same live query, so that one that is written anew changes nothing.
  const [subscribe, value] = React.useMemo(() => {
    const find = finder(store, live)
    // A component that was hidden may be shown again when its store is closed; what it showed stays.
    const subscribe = (onChange: () => void) => (internals.isShutdown ? nothing : find().listen(onChange))
    return [subscribe, () => find().run()] as const
  }, [store, live])
  const current = React.useSyncExternalStore(subscribe, value, value)
  React.useDebugValue(live.label)
  // Functions that were made in an earlier rendering find the newest value in it.
  const valueRef = React.useRef(current)
  valueRef.current = current
  return { valueRef, queryRcRef: { value: live } }
}
