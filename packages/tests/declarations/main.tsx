// Whatever an app may export, whose types are inferred: `pack.test.ts` has declarations made of it.

import '@livestore/react'
import { StoreRegistryProvider, useStore } from '@livestore/react'
import { StoreRegistry } from '@livestore/livestore'
import { options, todos$, ui } from './schema.js'
export const registry = new StoreRegistry()
export const useTodos = () => useStore(options).useQuery(todos$)
export const useUi = () => useStore(options).useClientDocument(ui)
export const useAppStore = () => useStore(options)
export const Provided = StoreRegistryProvider
