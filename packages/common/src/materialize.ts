import type { EngineRows } from './engine.js'
import { engine, LiveStoreError } from './errors.js'
import { decodeStored, type EventDef } from './events.js'
import { EventSequenceNumber } from './event-sequence-number.js'
import type { Materializer, MaterializerContextQuery } from './materializers.js'
import { astOf, isQueryBuilder } from './query-builder.js'
import type { QueryBuilderAst } from './query-builder-types.js'
import { writeSql } from './query-sql.js'
import { compileInput } from './live-queries.js'
import type { LiveStoreSchema } from './schema.js'
import { type BindValues, namedParameters, positional, wellFormed } from './sql.js'

interface Write {
  readonly sql: string
  readonly binds: unknown[]
}

/** Turns events into SQL with the app's materializers. */
export class Materializing {
  readonly #schema: LiveStoreSchema

  constructor(schema: LiveStoreSchema) {
    this.#schema = schema
  }

  /** Returns the writes as the engine takes them. */
  run(
    name: string,
    argsJson: string,
    clientId: string,
    sessionId: string,
    query: (description: string) => EngineRows,
  ): string {
    const def = this.#schema.eventsDefsMap.get(name) as EventDef.AnyWithoutFn
    const materializer = this.#schema.state.materializers.get(name) as Materializer
    const encoded: unknown = JSON.parse(argsJson)
    const args: unknown = decodeStored(def, encoded)
    const read: MaterializerContextQuery = (input: any) => {
      const compiled = compileInput(input, sessionId)
      const rows = engine(() => query(compiled.description))
      const columns = () => rows.columns ?? []
      return compiled.shape(rows.map((row) => compiled.decode(row, columns))) as any
    }
    const { ROOT } = EventSequenceNumber.Client
    const result = materializer(args, {
      query: read,
      event: { name, args, clientId, sessionId, seqNum: ROOT, parentSeqNum: ROOT },
      eventDef: def,
      currentFacts: new Map(),
    })
    const writes: Write[] = []
    collect(result, encoded as Record<string, unknown>, sessionId, writes, name)
    return wellFormed(JSON.stringify(writes))
  }
}

/** Nobody is there to take what a write of a materializer returns. */
const withoutReturning = (ast: QueryBuilderAst): QueryBuilderAst =>
  'returning' in ast ? { ...ast, returning: undefined } : ast

const collect = (
  result: unknown,
  args: Record<string, unknown>,
  sessionId: string,
  writes: Write[],
  event: string,
): void => {
  if (result === undefined || result === null) return
  if (Array.isArray(result)) {
    for (const one of result) collect(one, args, sessionId, writes, event)
    return
  }
  if (typeof result === 'string') {
    const names = namedParameters(result)
    const values = Object.fromEntries(names.map((name) => [name, args[name] ?? null]))
    writes.push({ sql: result, binds: positional(result, values as BindValues, sessionId) })
    return
  }
  if (isQueryBuilder(result)) {
    const { query, bindValues } = writeSql(withoutReturning(astOf(result)))
    writes.push({ sql: query, binds: positional(query, bindValues, sessionId) })
    return
  }
  const { sql, bindValues, then } = result as { sql?: unknown; bindValues?: BindValues; then?: unknown }
  if (typeof sql === 'string') {
    writes.push({ sql, binds: positional(sql, bindValues, sessionId) })
    return
  }
  throw new LiveStoreError(
    'MaterializeError',
    `the materializer of ${event} returned ${typeof result}, where writes of the query builder or SQL are expected` +
      (then === undefined ? '' : '; it must not be asynchronous'),
    { event },
  )
}
