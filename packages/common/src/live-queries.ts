import { nanoid } from 'nanoid'

import type { AnySchema } from './codec.js'
import { LiveStoreError } from './errors.js'
import type { DepKey, GetAtomResult, LiveQuery, LiveQueryDef, Queryable, SignalDef } from './live-query-types.js'
import { numberOf } from './identity.js'
import { astOf, isQueryBuilder } from './query-builder.js'
import type { QueryBuilder } from './query-builder-types.js'
import { compileAst, type CompiledQuery, type CompiledRead, compileRead, compileSql, compileSqlRead } from './query-compile.js'
import type { Bindable } from './sql.js'

/** SQL as a query, with a schema for the list of its rows. */
export interface QueryInputRaw<TDecoded, TEncoded = any> {
  readonly query: string
  readonly schema?: AnySchema<TDecoded, TEncoded>
  readonly bindValues?: Bindable
  /** What LiveStore is told of the tables; here the store finds out by itself. */
  readonly queriedTables?: ReadonlySet<string>
}

export type QueryInput<TDecoded> = QueryInputRaw<TDecoded> | QueryBuilder.Base<TDecoded>

export interface QueryDbOptions<TRows, TResult> {
  /** Makes something else of the rows. */
  readonly map?: (rows: TRows) => TResult
  readonly label?: string
  readonly deps?: DepKey
}

/** How a definition becomes a live query of a store. */
export type Recipe =
  | { readonly kind: 'query'; readonly compile: (sessionId: string) => CompiledQuery; readonly map: Map | undefined }
  | {
      readonly kind: 'choice'
      readonly choose: (get: GetAtomResult) => QueryInput<any>
      readonly map: Map | undefined
    }
  | { readonly kind: 'computed'; readonly compute: (get: GetAtomResult) => unknown }
  | { readonly kind: 'signal'; readonly initial: unknown }
type Map = (rows: any) => unknown

const recipes = new WeakMap<object, Recipe>()

export const recipeOf = (def: LiveQueryDef.Any): Recipe => {
  const recipe = recipes.get(def)
  if (recipe !== undefined) return recipe
  throw new LiveStoreError('QueryError', `this is no query: ${String(def)}; take one of a table, or make one with queryDb, computed or signal`)
}

const define = (tag: 'def' | 'signal-def', label: string, hash: string, recipe: Recipe): any => {
  const def = { _tag: tag, label, hash, ...(recipe.kind === 'signal' ? { defaultValue: recipe.initial } : {}) }
  recipes.set(def, recipe)
  return def
}

const depsOf = (deps: DepKey): string => JSON.stringify(deps)

/** Two functions are the same if they are, or if they are written alike and their `deps` are equal. */
const functionKey = (fn: (...args: any[]) => unknown, deps: DepKey | undefined): string => {
  return deps === undefined ? `function ${numberOf(fn)}` : `${fn.toString()}-${depsOf(deps)}`
}

export const isQueryInputRaw = (value: unknown): value is QueryInputRaw<any> =>
  typeof value === 'object' && value !== null && typeof (value as { query?: unknown }).query === 'string'

const noQuery = (input: unknown): never => {
  throw new LiveStoreError('QueryError', `this is no query: ${String(input)}`)
}

/** Compiles a query of the builder or SQL for a session, to be read once. */
export const compileInputRead = (input: QueryInput<any>, sessionId: string): CompiledRead => {
  if (isQueryBuilder(input)) return compileRead(astOf(input), sessionId)
  if (!isQueryInputRaw(input)) return noQuery(input)
  return compileSqlRead(input.query, input.bindValues, sessionId, input.schema)
}

/** Compiles a query of the builder or SQL for a session. */
export const compileInput = (input: QueryInput<any>, sessionId: string): CompiledQuery => {
  if (isQueryBuilder(input)) return compileAst(astOf(input), sessionId)
  if (!isQueryInputRaw(input)) return noQuery(input)
  return compileSql(input.query, input.bindValues, sessionId, input.schema)
}

/** Stands for a session that is not known yet; no session has such an id. */
const ANY_SESSION = '\0session'
const ANY_SESSION_JSON = JSON.stringify(ANY_SESSION).slice(1, -1)

/** Defines a live query of rows. */
export const queryDb: {
  <TRows, TResult = TRows>(input: QueryInput<TRows>, options?: QueryDbOptions<TRows, TResult>): LiveQueryDef<TResult>
  <TRows, TResult = TRows>(
    input: (get: GetAtomResult) => QueryInput<TRows>,
    options?: QueryDbOptions<TRows, TResult>,
  ): LiveQueryDef<TResult>
} = (input: any, options: QueryDbOptions<any, any> = {}): any => {
  const { map, deps } = options
  const mapped = map === undefined ? '' : `-${functionKey(map, deps)}`
  if (typeof input === 'function') {
    const hash = `queryDb ${functionKey(input, deps)}${mapped}`
    return define('def', options.label ?? input.toString(), hash, { kind: 'choice', choose: input, map })
  }
  if (!isQueryBuilder(input) && !isQueryInputRaw(input)) {
    throw new LiveStoreError('QueryError', `queryDb takes a query of a table, SQL or a function that gives one`)
  }
  const anyway = compileInput(input, ANY_SESSION)
  const hash = `${anyway.key}${deps === undefined ? '' : `-${depsOf(deps)}`}${mapped}`
  const label = options.label ?? (isQueryBuilder(input) ? input.toString() : input.query)
  const isOfSession = anyway.description.includes(ANY_SESSION_JSON)
  const compile = (sessionId: string) => (isOfSession ? compileInput(input, sessionId) : anyway)
  return define('def', label, hash, { kind: 'query', compile, map })
}

/** Results of queries, in the order of the queries. */
type ResultsOf<TQueries extends ReadonlyArray<Queryable<any>>> = {
  readonly [K in keyof TQueries]: Queryable.Result<TQueries[K]>
}

export interface ComputedOptions {
  readonly label?: string
  readonly deps?: DepKey
}

/** Defines a value that is computed of others, given as a list or read with `get`. */
export const computed: {
  <TResult>(compute: (get: GetAtomResult) => TResult, options?: ComputedOptions): LiveQueryDef<TResult>
  <const TQueries extends ReadonlyArray<Queryable<any>>, TResult>(
    queries: TQueries,
    compute: (results: ResultsOf<TQueries>) => TResult,
    options?: ComputedOptions,
  ): LiveQueryDef<TResult>
} = (...args: any[]): any => {
  const [queries, compute, options = {}] = (Array.isArray(args[0]) ? args : [undefined, ...args]) as [
    ReadonlyArray<Queryable<any>> | undefined,
    (input: any) => unknown,
    ComputedOptions | undefined,
  ]
  if (typeof compute !== 'function' || queries?.every(isQueryable) === false) {
    throw new LiveStoreError('QueryError', 'computed takes a function, or a list of queries and a function')
  }
  const key = functionKey(compute, options.deps)
  const read = queries === undefined ? compute : (get: GetAtomResult) => compute(queries.map((query) => get(query)))
  const of = queries === undefined ? '' : `-${queries.map(hashOf).join('-')}`
  return define('def', options.label ?? compute.toString(), `computed ${key}${of}`, { kind: 'computed', compute: read })
}

const hashOf = (query: Queryable<any>): string =>
  isQueryBuilder(query) ? defOf(query).hash : 'hash' in query ? query.hash : query.def.hash

/** Defines a value that the app sets; each call defines another one. */
export const signal = <T>(defaultValue: T, options: { readonly label?: string } = {}): SignalDef<T> => {
  const hash = nanoid()
  return define('signal-def', options.label ?? `signal(${hash})`, hash, { kind: 'signal', initial: defaultValue })
}

export const isLiveQueryDef = (value: unknown): value is LiveQueryDef.Any =>
  typeof value === 'object' && value !== null && recipes.has(value)

const instances = new WeakSet<object>()

export const enterInstance = (live: object): void => {
  instances.add(live)
}

export const isLiveQueryInstance = (value: unknown): value is LiveQuery<any> =>
  typeof value === 'object' && value !== null && instances.has(value)

export const isQueryable = (value: unknown): value is Queryable<unknown> =>
  isQueryBuilder(value) || isLiveQueryDef(value) || isLiveQueryInstance(value)

/** Tells queries apart as far as that goes: a function that is written anew with each rendering is the same one. */
const writtenAs = (query: Queryable<any>): string => {
  const { label, hash } = isQueryBuilder(query) ? defOf(query) : 'hash' in query ? query : query.def
  return `${label} ${hash.replace(/function \d+/g, 'function')}`
}

export const isWrittenAs = (left: Queryable<any>, right: Queryable<any>): boolean => writtenAs(left) === writtenAs(right)

const implicit = new WeakMap<object, LiveQueryDef.Any>()

/** A query of the builder as a live query. */
export const defOf = (query: QueryBuilder.Base<any>): LiveQueryDef.Any => {
  let def = implicit.get(query)
  if (def === undefined) implicit.set(query, (def = queryDb(query)))
  return def
}
