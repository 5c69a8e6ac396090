import { needRoom } from './room.js'

/** Where errors are explained, by their tag. */
const DOCS = '\n  https://github.com/livestore-rs/livestore-rs/blob/main/docs/guide/typescript.md#errors'

export interface LiveStoreErrorOptions {
  readonly cause?: unknown
  /** The event that it is about. */
  readonly event?: string
  /** The table that it is about. */
  readonly table?: string
}

/**
 * Whatever goes wrong in a store, with a tag by which code tells one error from another.
 *
 * The message ends with the address of the table of all tags: what each means, and what to do.
 */
export class LiveStoreError extends Error {
  readonly _tag: string
  readonly event?: string
  readonly table?: string

  constructor(tag: string, message: string, options: LiveStoreErrorOptions = {}) {
    // It may tell of another one.
    super(`${message.replaceAll(DOCS, '')}${DOCS}`, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = tag
    this._tag = tag
    if (options.event !== undefined) this.event = options.event
    if (options.table !== undefined) this.table = options.table
  }
}

/** What was thrown, in words. */
export const reasonOf = (thrown: unknown): string => (thrown instanceof Error ? thrown.message : String(thrown))

/** What the engine throws. */
interface EngineError extends Error {
  readonly _tag: string
  readonly event?: string
  readonly table?: string
  /** That of the table, if the event may not touch it. */
  readonly scope?: string
}

/** Those of the engine are no class of their own; an app's error may have a tag as well. */
const isEngineError = (error: unknown): error is EngineError =>
  error instanceof Error &&
  Object.getPrototypeOf(error) === Error.prototype &&
  typeof (error as Partial<EngineError>)._tag === 'string' &&
  error.name === (error as Partial<EngineError>)._tag

/** A build of the engine, as far as it can be stopped. */
interface Stoppable {
  /** Ends all that it does by itself. */
  readonly stop: () => void
  /** Whether it was stopped, or has stopped itself in a panic. */
  readonly isStopped: () => boolean
}

const engines = new Set<Stoppable>()

/** Makes an engine known that stores may run on. */
export const enterEngine = (engine: Stoppable): void => void engines.add(engine)

/** Whether an engine has stopped: whatever it was at may be half done. */
export const isStopped = (): boolean => {
  for (const one of engines) if (one.isStopped()) return true
  return false
}

const thrownByApps = new WeakSet<object>()

/** Says that the app's code has thrown this, so that it tells nothing of the engine. */
export const noteThrown = (error: unknown): void => {
  if (typeof error === 'object' && error !== null) thrownByApps.add(error)
}

/** Whether an error is one of those that leave the engine wherever it is: memory or stack have come to their end. */
const wasLeft = (error: unknown): error is Error => {
  if (!(error instanceof Error) || thrownByApps.has(error)) return false
  if (error instanceof WebAssembly.RuntimeError) return true
  return ['RangeError', 'InternalError'].includes(error.name) && /stack|recursion/i.test(error.message)
}

/** Makes what the engine has thrown an error of this package; `cause` is what the app's code threw. */
export const fromEngine = (error: unknown, cause?: unknown): unknown => {
  if (wasLeft(error)) {
    for (const one of engines) one.stop()
    const why = `the engine was left in the middle of something (${error.message}), and has stopped; load the page anew`
    return new LiveStoreError('EnginePanicked', why, { cause: error })
  }
  if (!isEngineError(error)) return error
  const hint = error.message.includes('no such module: fts5')
    ? "\n  Full-text search is in another engine: import { makeInMemoryAdapter } from '@livestore-rs/adapter-web/fts5'."
    : error.scope !== undefined
    ? "\n  A table says who its rows are for: State.SQLite.table({ …, scope: 'memory' }) for what client-only events write, " +
      "scope: 'client' if these have `persist: true`."
    : ''
  return new LiveStoreError(error._tag, `${error.message}${hint}`, {
    cause,
    ...(error.event === undefined ? {} : { event: error.event }),
    ...(error.table === undefined ? {} : { table: error.table }),
  })
}

/**
 * Makes sure that the engine can be asked: that it goes on, and that there is room on the stack for it.
 *
 * An app's endless recursion has to end before it is in the engine, which nothing can be thrown through: what it was
 * at would stay half done for ever.
 */
export const needEngine = (): void => {
  needRoom()
  if (isStopped()) throw new LiveStoreError('EnginePanicked', 'the engine has stopped, since something of it went wrong before; load the page anew')
}

/** Runs something of the engine's, whose errors become this package's. */
export const engine = <T>(run: () => T): T => {
  needEngine()
  try {
    return run()
  } catch (error) {
    throw fromEngine(error)
  }
}

/** Tells of an error that nobody can catch, as the platform tells of uncaught ones. */
export const report = (error: unknown): void => {
  const { reportError } = globalThis as { reportError?: (error: unknown) => void }
  if (typeof reportError === 'function') reportError(error)
  else console.error(error)
}
