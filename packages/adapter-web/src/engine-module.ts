import { type EngineHost, type EngineStore, enterEngine } from '@livestore-rs/common/internal'

/** What wasm-bindgen makes of the engine, as far as it is used. */
export interface EngineModule {
  readonly StoreHandle: new (options: string, host: EngineHost) => EngineStore
  /** Ends all that it does by itself, for good. */
  readonly stop: () => void
  /** Whether it has stopped, by itself or not. */
  readonly isStopped: () => boolean
}

/** The part that instantiates it. */
export interface EngineLoader extends EngineModule {
  readonly default: (input: { module_or_path: Promise<Response> }) => Promise<unknown>
  readonly initSync: (input: { module: Uint8Array<ArrayBuffer> }) => unknown
}

interface NodeProcess {
  readonly versions?: { readonly node?: string }
  getBuiltinModule?: (name: string) => { readFileSync(path: URL): Uint8Array<ArrayBuffer> }
}

/** Instantiates a build of the engine, which is a file of its own. */
export const loadEngine = async (engine: EngineLoader, wasm: URL): Promise<EngineModule> => {
  const { process } = globalThis as { process?: NodeProcess }
  if (wasm.protocol === 'file:' && process?.getBuiltinModule !== undefined) {
    // Node fetches no files.
    engine.initSync({ module: process.getBuiltinModule('node:fs').readFileSync(wasm) })
  } else {
    await engine.default({ module_or_path: fetch(wasm) })
  }
  enterEngine(engine)
  return engine
}
