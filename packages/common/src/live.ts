import { isEqual } from './codec.js'
import type { EngineLive, EngineSubscription } from './engine.js'
import { engine, fromEngine, isStopped, LiveStoreError, needEngine, noteThrown, report } from './errors.js'
import { enterInstance, type Recipe } from './live-queries.js'
import type { LiveQuery, LiveQueryDef, Signal } from './live-query-types.js'
import type { CompiledQuery, RawRow } from './query-compile.js'

let ids = 0

/** How long a live query may take until it is used. */
const UNUSED_MS = 2000

/** The live queries that are being computed, of whatever store; the last one is the innermost. */
const computing: Live[] = []

/** How many may depend on each other in a row; the engine takes 256, and queries that are chosen are two there. */
const MOST_NESTED = 100

/** Tells whether something is being computed, so that nothing may be changed. */
export const isComputing = (): boolean => computing.length > 0

/** Live queries that were made in this turn. */
let made: Live[] | undefined

/** Destroys a live query if it is not used in time: it was made for a component, say, of which nothing came. */
const expectUse = (live: Live): void => {
  if (made !== undefined) {
    made.push(live)
    return
  }
  const all = [live]
  made = all
  queueMicrotask(() => (made = undefined))
  // A timer costs as much as a query, so all have the same one.
  const timer: { unref?: () => void } = setTimeout(() => {
    for (const live of all) live.destroyIfUnused()
  }, UNUSED_MS) as never
  timer.unref?.()
}

/** A change of a list of rows: what came, went, moved or changed, to be applied in order. */
export type DiffStep<TRow> =
  | { readonly op: 'insert'; readonly at: number; readonly row: TRow }
  | { readonly op: 'remove'; readonly at: number }
  | { readonly op: 'move'; readonly from: number; readonly to: number }
  | { readonly op: 'update'; readonly at: number; readonly row: TRow }

/** What live queries need of their store. */
export interface LiveContext {
  /** Tells followers, or keeps them for `manualRefresh`. */
  notify(tell: () => void): void
  /** Forgets a live query that nobody uses any more. */
  forget(live: Live): void
  /** Takes what the app's code has thrown, which the engine knows only as a text. */
  takeThrown(): unknown
  /** Whose they are. */
  readonly owner: object
}

/** What the value of a live query is taken of. */
interface Source {
  /** Returns whether it has changed, and takes what is new. */
  refresh(): boolean
  value(): unknown
  /** How the rows have come to be what they are; nothing if the value is no list of rows. */
  readonly steps: ReadonlyArray<DiffStep<unknown>> | undefined
}

const NO_STEPS: ReadonlyArray<DiffStep<never>> = []

/** Stands in a list for a row that could not be decoded. */
class Undecodable {
  constructor(readonly error: unknown) {}
}

/** Rows of a query: each is decoded once and stays the same object until it changes. */
class RowsSource implements Source {
  steps: ReadonlyArray<DiffStep<unknown>> | undefined = NO_STEPS
  readonly #live: EngineLive
  readonly #query: () => CompiledQuery
  /** What the rows were decoded by. */
  #decodedBy: CompiledQuery | undefined
  /** The rows as they came, if they may have to be decoded anew. */
  readonly #raw: RawRow[] | undefined
  /** The rows as the engine knows them. */
  #rows: unknown[] = []
  /** A copy, which is the app's to do with as it likes. */
  #shown: ReadonlyArray<unknown> = []
  #hasUndecodable = false

  constructor(live: EngineLive, query: () => CompiledQuery, isChosen: boolean) {
    this.#live = live
    this.#query = query
    this.#raw = isChosen ? [] : undefined
  }

  refresh(): boolean {
    const taken = this.#live.take()
    const query = this.#query()
    const before = this.#decodedBy
    const isOther = before !== undefined && before.key !== query.key
    if (taken === undefined && before !== undefined && !isOther) return false
    const isDecodedAnew = isOther && before.decodeKey !== query.decodeKey
    this.#decodedBy = query
    let names: string[] | null | undefined
    const columns = () => (names ??= this.#live.columns()) ?? []
    const decode = (row: RawRow): unknown => {
      try {
        return query.decode(row, columns)
      } catch (error) {
        this.#hasUndecodable = true
        noteThrown(error)
        return new Undecodable(error)
      }
    }
    const steps = this.#apply(taken ?? [], decode)
    if (isDecodedAnew && this.#raw !== undefined) {
      const decoded = this.#raw.map(decode)
      this.steps = query.isList ? replace(this.#rows, decoded) : undefined
      this.#rows = decoded
    } else {
      this.steps = query.isList ? steps : undefined
    }
    this.#shown = this.#rows.slice()
    return true
  }

  /** Applies the engine's steps; the engine counts on it that they were, whatever the rows are. */
  #apply(taken: ReadonlyArray<unknown>, decode: (row: RawRow) => unknown): DiffStep<unknown>[] {
    const rows = this.#rows
    const lists: unknown[][] = this.#raw === undefined ? [rows] : [rows, this.#raw as unknown[]]
    const steps: DiffStep<unknown>[] = []
    for (let next = 0; next < taken.length; ) {
      const kind = taken[next] as number
      const at = taken[next + 1] as number
      if (kind === 1) {
        for (const list of lists) list.splice(at, 1)
        steps.push({ op: 'remove', at })
        next += 2
        continue
      }
      const third = taken[next + 2]
      next += 3
      if (kind === 2) {
        const to = third as number
        for (const list of lists) list.splice(to, 0, ...list.splice(at, 1))
        steps.push({ op: 'move', from: at, to })
        continue
      }
      const row = decode(third as RawRow)
      if (kind === 0) {
        if (at === rows.length) {
          rows.push(row)
          this.#raw?.push(third as RawRow)
        } else {
          rows.splice(at, 0, row)
          this.#raw?.splice(at, 0, third as RawRow)
        }
        steps.push({ op: 'insert', at, row })
      } else {
        rows[at] = row
        if (this.#raw !== undefined) this.#raw[at] = third as RawRow
        steps.push({ op: 'update', at, row })
      }
    }
    return steps
  }

  value(): unknown {
    if (this.#hasUndecodable) {
      const found = this.#rows.find((row) => row instanceof Undecodable) as Undecodable | undefined
      if (found !== undefined) throw found.error
      this.#hasUndecodable = false
    }
    return (this.#decodedBy as CompiledQuery).shape(this.#shown)
  }
}

/** All rows of before go, all of now come. */
const replace = (before: ReadonlyArray<unknown>, now: ReadonlyArray<unknown>): DiffStep<unknown>[] => [
  ...before.map(() => ({ op: 'remove' as const, at: 0 })),
  ...now.map((row, at) => ({ op: 'insert' as const, at, row })),
]

/** Lists that no query has made: what they begin and end with alike stays. */
const difference = (before: ReadonlyArray<unknown>, now: ReadonlyArray<unknown>): DiffStep<unknown>[] => {
  let start = 0
  while (start < before.length && start < now.length && Object.is(before[start], now[start])) start++
  let end = 0
  const most = Math.min(before.length, now.length) - start
  while (end < most && Object.is(before[before.length - 1 - end], now[now.length - 1 - end])) end++
  return [
    ...before.slice(start, before.length - end).map(() => ({ op: 'remove' as const, at: start })),
    ...now.slice(start, now.length - end).map((row, at) => ({ op: 'insert' as const, at: start + at, row })),
  ]
}

/** What is computed, or set. */
class ValueSource implements Source {
  readonly steps = undefined
  #version = -1

  constructor(readonly live: EngineLive) {}

  refresh(): boolean {
    const version = this.live.version()
    const has = this.#version === version
    this.#version = version
    return !has
  }

  value(): unknown {
    return this.live.value()
  }
}

/** Is told that the value is another one. */
export type Listener = (live: Live) => void

/** Follows how a list changes. */
export interface Steps {
  /** Returns what has happened since it was asked last; at first, all rows come. */
  take(): ReadonlyArray<DiffStep<any>>
  end(): void
}

type Outcome = { readonly value: unknown } | { readonly error: unknown }

/** A live query of a store, as long as somebody uses it. */
export class Live implements Signal<any> {
  readonly id = ids++
  readonly _tag: 'computed' | 'db' | 'signal'
  runs = 0
  isDestroyed = false
  readonly #engine: EngineLive
  /** Another query may have the same rows, which mean something else: so whoever depends on one, depends on both. */
  readonly #choice: EngineLive | undefined
  readonly #source: Source
  readonly #map: ((rows: any) => unknown) | undefined
  /** Followers, and how many values there were when each was told last. */
  readonly #listeners = new Map<Listener, number>()
  /** What has happened to the rows, for those who follow that; nothing if it has to be found out. */
  readonly #logs = new Set<{ steps: ReadonlyArray<DiffStep<any>> | undefined }>()
  readonly #context: LiveContext
  #subscriptions: ReadonlyArray<EngineSubscription> = []
  #outcome: Outcome | undefined
  /** How many values it has had. */
  #values = 0
  #uses = 0
  /** What it was computed of last, which it keeps in use. */
  #dependencies = new Set<Live>()
  /** What its value is computed by, by number. */
  readonly computations: ReadonlyArray<number>

  constructor(
    readonly def: LiveQueryDef<any, any>,
    recipe: Recipe,
    engine: EngineLive,
    context: LiveContext,
    parts: {
      readonly query?: () => CompiledQuery
      /** What chooses the query. */
      readonly choice?: EngineLive
      readonly computations?: ReadonlyArray<number>
    },
  ) {
    this._tag = recipe.kind === 'signal' ? 'signal' : recipe.kind === 'computed' ? 'computed' : 'db'
    this.#engine = engine
    this.#context = context
    this.#map = recipe.kind === 'query' || recipe.kind === 'choice' ? recipe.map : undefined
    this.#source = parts.query === undefined ? new ValueSource(engine) : new RowsSource(engine, parts.query, recipe.kind === 'choice')
    this.#choice = parts.choice
    this.computations = parts.computations ?? []
    enterInstance(this)
    expectUse(this)
  }

  get label(): string {
    return this.def.label
  }

  /** The store that it is of. */
  get owner(): object {
    return this.#context.owner
  }

  /** The numbers by which computations read it. */
  get engineIds(): ReadonlyArray<number> {
    return this.#choice === undefined ? [this.#engine.id] : [this.#choice.id, this.#engine.id]
  }

  /** Keeps it until it is released as often. */
  retain(): void {
    this.#uses++
  }

  release(): void {
    this.#uses--
    // Who uses it again at once, as a component that is rendered anew, finds it as it was.
    if (this.#uses === 0) queueMicrotask(() => this.destroyIfUnused())
  }

  destroyIfUnused(): void {
    if (this.#uses === 0) this.destroy()
  }

  destroy(): void {
    if (this.isDestroyed) return
    // Whoever still shows it, shows what it was.
    if (!isStopped()) this.#refresh()
    this.isDestroyed = true
    this.#unsubscribe()
    this.#context.forget(this)
    // It may be at work: what is freed then is still needed.
    queueMicrotask(() => {
      if (isStopped()) return
      this.#engine.free()
      this.#choice?.free()
    })
    for (const dependency of this.#dependencies) dependency.release()
    this.#dependencies.clear()
  }

  /** Computes something of other live queries, which are kept in use until it is computed of others. */
  computeOf<T>(compute: (dependOn: (dependency: Live) => void) => T): T {
    const before = this.#dependencies
    const now = new Set<Live>()
    if (computing.length === MOST_NESTED) throw new LiveStoreError('QueryError', `more than ${MOST_NESTED} live queries depend on each other`)
    computing.push(this)
    this.#dependencies = now
    try {
      return compute((dependency) => {
        if (computing.includes(dependency)) throw dependency.#circular()
        if (now.has(dependency)) return
        now.add(dependency)
        if (!before.has(dependency)) dependency.retain()
      })
    } finally {
      computing.pop()
      for (const dependency of before) if (!now.has(dependency)) dependency.release()
    }
  }

  #circular(): LiveStoreError {
    return new LiveStoreError('QueryError', `the live query ${this.label} depends on itself`)
  }

  /** Takes what is new. */
  #refresh(): void {
    let outcome: Outcome
    needEngine()
    this.#context.takeThrown()
    try {
      if (!this.#source.refresh() && this.#outcome !== undefined) return
      this.runs++
      const { steps } = this.#source
      for (const log of this.#logs) {
        log.steps = steps === undefined || log.steps === undefined ? undefined : [...log.steps, ...steps]
      }
      outcome = { value: this.#source.value() }
    } catch (error) {
      // Some of the steps may have rows that could not be decoded.
      for (const log of this.#logs) log.steps = undefined
      outcome = { error: fromEngine(error, this.#context.takeThrown()) }
    }
    outcome = this.#mapped(outcome)
    if (this.#isSame(outcome)) return
    this.#outcome = outcome
    this.#values++
  }

  #mapped(outcome: Outcome): Outcome {
    if (this.#map === undefined || 'error' in outcome) return outcome
    try {
      return { value: this.#map(outcome.value) }
    } catch (error) {
      for (const log of this.#logs) log.steps = undefined
      return { error }
    }
  }

  /** What is made of rows may be equal though the rows are not. */
  #isSame(outcome: Outcome): boolean {
    const before = this.#outcome
    if (before === undefined || !('value' in before) || !('value' in outcome)) return false
    if (Object.is(before.value, outcome.value)) return true
    return (this.#map !== undefined || !Array.isArray(outcome.value)) && isEqual(before.value, outcome.value)
  }

  /** Returns the value, the same object as long as it has not changed. */
  run(): any {
    if (computing.includes(this)) throw this.#circular()
    // What is over stays as it was, for whoever still shows it.
    if (!this.isDestroyed || this.#outcome === undefined) this.#refresh()
    const outcome = this.#outcome as Outcome
    if ('error' in outcome) throw outcome.error
    return outcome.value
  }

  get(): any {
    return this.run()
  }

  #checkUse(): void {
    if (this.isDestroyed) throw new LiveStoreError('QueryError', `the live query ${this.label} is over`)
  }

  set(value: unknown): void {
    this.#checkUse()
    if (isComputing()) throw new LiveStoreError('StoreInComputed', 'a signal cannot be set while a query is computed')
    engine(() => this.#engine.set(value))
  }

  explain(): string {
    this.#checkUse()
    return engine(() => this.#engine.explain())
  }

  /** Calls a function whenever the value has changed. */
  listen(listener: Listener): () => void {
    this.#checkUse()
    this.retain()
    this.#refresh()
    this.#listeners.set(listener, this.#values)
    if (this.#subscriptions.length === 0) {
      let isFirst = true
      const onChange = () => {
        // The engine calls once at once.
        if (!isFirst) this.#context.notify(this.tell)
      }
      const followed = this.#choice === undefined ? [this.#engine] : [this.#choice, this.#engine]
      this.#subscriptions = followed.map((live) => live.subscribe(onChange))
      isFirst = false
    }
    return () => {
      if (!this.#listeners.delete(listener)) return
      if (this.#listeners.size === 0) this.#unsubscribe()
      this.release()
    }
  }

  #unsubscribe(): void {
    if (!isStopped()) for (const subscription of this.#subscriptions) subscription.free()
    this.#subscriptions = []
  }

  /** Follows how the list changes that is the value. */
  steps(): Steps {
    let before: ReadonlyArray<unknown> | undefined
    const log = { steps: NO_STEPS as ReadonlyArray<DiffStep<any>> | undefined }
    this.#logs.add(log)
    return {
      take: () => {
        const now = this.run() as ReadonlyArray<unknown>
        const isPlain = this.#map === undefined && this.#source.steps !== undefined
        const known = before !== undefined && isPlain ? log.steps : undefined
        const steps = known ?? difference(before ?? [], now)
        before = now
        log.steps = NO_STEPS
        return steps
      },
      end: () => void this.#logs.delete(log),
    }
  }

  /** Tells followers, if the value is another one than they know. */
  readonly tell = (): void => {
    for (const [listener, told] of this.#listeners) {
      if (this.isDestroyed) return
      // The follower before may have changed something: each is told of the newest value, and once.
      this.#refresh()
      if (told === this.#values) continue
      this.#listeners.set(listener, this.#values)
      try {
        listener(this)
      } catch (error) {
        report(error)
      }
    }
  }
}

export const isLive = (query: LiveQuery<any>): query is Live => query instanceof Live
