import type { StoreRegistry } from '@livestore-rs/common'
import * as React from 'react'

export const StoreRegistryContext = React.createContext<StoreRegistry | undefined>(undefined)

export interface StoreRegistryProviderProps {
  readonly storeRegistry: StoreRegistry
  readonly children?: React.ReactNode
}

/** Gives the components below it a registry, from which they have their stores. */
export const StoreRegistryProvider = ({ storeRegistry, children }: StoreRegistryProviderProps): React.JSX.Element => (
  <StoreRegistryContext.Provider value={storeRegistry}>{children}</StoreRegistryContext.Provider>
)

/** Returns the registry of the nearest provider, or the one that is given. */
export const useStoreRegistry = (override?: StoreRegistry): StoreRegistry => {
  const registry = React.useContext(StoreRegistryContext)
  const found = override ?? registry
  if (found === undefined) throw new Error('useStoreRegistry() must be used within <StoreRegistryProvider>')
  return found
}
