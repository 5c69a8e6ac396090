/** What framework bindings and adapters of LiveStore need, and apps do not. */
export { deepEqual } from './codec.js'
export type { EngineHost, EngineOptions, EngineStore } from './engine.js'
export { enterEngine, fromEngine, isStopped, LiveStoreError } from './errors.js'
export { Live } from './live.js'
export { isWrittenAs } from './live-queries.js'
export { documentOf } from './document-registry.js'
export { wellFormed } from './sql.js'
export { Store, StoreInternalsSymbol } from './store.js'
