import type { QueryBuilder } from './query-builder-types.js'

/** Tells queries with a function apart that are written alike. */
export type DepKey = string | number | ReadonlyArray<string | number | undefined | null>

/** Reads what a computation then depends on. */
export type GetAtomResult = <T>(query: Queryable<T>) => T

/** What a live query is, in any store. */
export interface LiveQueryDef<TResult, TTag extends string = 'def'> {
  readonly _tag: TTag
  readonly label: string
  /** Definitions with the same hash are the same. */
  readonly hash: string
  /** For types alone; a function, as an optional value would lose its `undefined`. */
  readonly '__result!'?: () => TResult
}
export declare namespace LiveQueryDef {
  export type Any = LiveQueryDef<any, 'def' | 'signal-def'>
}

/** A value that the app sets, and that queries can depend on. */
export interface SignalDef<T> extends LiveQueryDef<T, 'signal-def'> {
  readonly defaultValue: T
}

/** A live query of a store. */
export interface LiveQuery<TResult> {
  readonly _tag: 'computed' | 'db' | 'signal'
  readonly id: number
  readonly label: string
  readonly def: LiveQueryDef<TResult, any>
  readonly isDestroyed: boolean
  /** How often it was computed, or its rows were taken. */
  readonly runs: number
  /** Returns the value. */
  run(): TResult
  /** Tells how precisely the store knows what concerns it. */
  explain(): string
  readonly '__result!'?: () => TResult
}
export declare namespace LiveQuery {
  export type Any = LiveQuery<any>
}

/** A signal of a store. */
export interface Signal<T> extends LiveQuery<T> {
  set(value: T): void
  get(): T
}

/** Whatever can be queried and followed. */
export type Queryable<TResult> =
  | LiveQueryDef<TResult>
  | SignalDef<TResult>
  | LiveQuery<TResult>
  | QueryBuilder.Base<TResult>

export declare namespace Queryable {
  export type Result<TQueryable extends Queryable<any>> =
    TQueryable extends QueryBuilder.Base<infer T>
      ? T
      : TQueryable extends LiveQueryDef<infer T, any>
        ? T
        : TQueryable extends LiveQuery<infer T>
          ? T
          : never
}
