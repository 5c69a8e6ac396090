/** LiveStore in browsers and in Node: the Rust core as WebAssembly, without full-text search. */
import * as wasmModule from '../engine/livestore.js'
import { type EngineLoader, loadEngine } from './engine-module.js'
import { inMemoryAdapterOn } from './in-memory.js'

const engine = await loadEngine(
  wasmModule as unknown as EngineLoader,
  new URL('../engine/livestore_bg.wasm', import.meta.url),
)

/** Makes an adapter for stores that live in this page alone. */
export const makeInMemoryAdapter = inMemoryAdapterOn(engine)
export type { InMemoryAdapterOptions, MakeInMemoryAdapter } from './in-memory.js'
