export { StoreRegistry, storeOptions } from '@livestore-rs/common'

export { StoreRegistryContext, StoreRegistryProvider, type StoreRegistryProviderProps, useStoreRegistry } from './context.js'
export { LiveList, type LiveListProps } from './live-list.js'
export { type ReactApi, withReactApi } from './store-api.js'
export {
  type Dispatch,
  type SetStateAction,
  type SetStateActionPartial,
  type StateSetters,
  type UseClientDocumentResult,
  useClientDocument,
} from './use-client-document.js'
export { useQuery, useQueryRef } from './use-query.js'
export { useStore } from './use-store.js'
export { useSyncStatus } from './use-sync-status.js'
