/** LiveStore in browsers and in Node: the Rust core as WebAssembly, with full-text search (FTS5). */
import * as wasmModule from '../engine-fts5/livestore.js'
import { type EngineLoader, loadEngine } from './engine-module.js'
import { inMemoryAdapterOn } from './in-memory.js'

const engine = await loadEngine(
  wasmModule as unknown as EngineLoader,
  new URL('../engine-fts5/livestore_bg.wasm', import.meta.url),
)

/** Makes an adapter for stores that live in this page alone. */
export const makeInMemoryAdapter = inMemoryAdapterOn(engine)
export type { InMemoryAdapterOptions, MakeInMemoryAdapter } from './in-memory.js'
