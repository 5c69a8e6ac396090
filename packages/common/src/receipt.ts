import type { EngineReceipt } from './engine.js'
import { fromEngine } from './errors.js'

/** How safe a commit is once it is as safe as it will be. */
export type Durability = 'memory' | 'normal' | 'full' | (string & {})

/** What became of a commit. */
export type Fate = 'confirmed' | 'rewritten' | 'rejected' | 'archived' | (string & {})

/** The first and the last position that the backend has given to a commit's events. */
export interface Positions {
  readonly first: number
  readonly last: number
}

/** A promise that nobody has to look at. */
const quiet = <T>(promise: Promise<T>): Promise<T> => {
  const told = promise.catch((error: unknown) => {
    throw fromEngine(error)
  })
  told.catch(() => {})
  return told
}

/** Tells what becomes of a commit; may be ignored. */
export class CommitReceipt {
  readonly #engine: EngineReceipt | undefined

  constructor(engine: EngineReceipt | undefined) {
    this.#engine = engine
  }

  /** The id of the events that belong together; empty for a commit of nothing. */
  get groupId(): string {
    return this.#engine?.groupId ?? ''
  }

  /** Waits until the commit is as safe as it will be. */
  get persisted(): Promise<Durability> {
    return quiet(this.#engine?.persisted() ?? Promise.resolve('memory'))
  }

  /** Waits until the backend has ordered it. */
  get confirmed(): Promise<Positions | undefined> {
    if (this.#engine === undefined) return Promise.resolve(undefined)
    return quiet(this.#engine.confirmed().then(([first, last]) => ({ first, last })))
  }

  /** Waits until it is known what became of it. */
  get fate(): Promise<Fate> {
    return quiet(this.#engine?.fate() ?? Promise.resolve('confirmed'))
  }
}
