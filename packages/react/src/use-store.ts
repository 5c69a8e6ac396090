import type { LiveStoreSchema, RegistryStoreOptions, Store } from '@livestore-rs/common'
import * as React from 'react'

import { useStoreRegistry } from './context.js'
import { usePromise } from './use-promise.js'

/** What stores were waited for with. */
const promises = new WeakMap<object, Promise<unknown>>()

/** Returns a store, of the registry of the nearest provider; suspends while it is opened, throws if that fails. */
export const useStore = <TSchema extends LiveStoreSchema.Any, TContext = {}>(
  options: RegistryStoreOptions<TSchema, TContext>,
): Store<TSchema, TContext> => {
  const registry = useStoreRegistry()
  const found = registry.getOrLoadPromise(options)
  if (found instanceof Promise) found.then((store) => promises.set(store, found), () => {})
  // React renders anew what has waited, and then wants it to ask for the same promise as before.
  const promise = (found instanceof Promise ? found : promises.get(found)) as Promise<Store<TSchema, TContext>> | undefined
  const store = promise === undefined ? (found as Store<TSchema, TContext>) : usePromise(promise)
  const { storeId } = options
  // Options are often written anew each time; what names the store is its id.
  const latest = React.useRef(options)
  latest.current = options
  const [, renderAnew] = React.useReducer((times: number) => times + 1, 0)
  React.useEffect(() => {
    const release = registry.retain(latest.current)
    // A component that was hidden may be shown again when its store is closed, and is another one by now.
    if (registry.getOrLoadPromise(latest.current) !== store) renderAnew()
    return release
  }, [registry, storeId, store])
  return store
}
