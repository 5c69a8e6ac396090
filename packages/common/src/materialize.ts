import type { EngineRows } from './engine.js'
import { engine, LiveStoreError } from './errors.js'
import { decodeStored, type EventDef } from './events.js'
import { EventSequenceNumber } from './event-sequence-number.js'
import type { Materializer, MaterializerContextQuery } from './materializers.js'
import { astOf, isQueryBuilder } from './query-builder.js'
import type { QueryBuilderAst } from './query-builder-types.js'
import { decodeAll } from './query-compile.js'
import { Forms, jsonValuesOf } from './query-form.js'
import { textOf } from './query-sql.js'
import { compileInputRead } from './live-queries.js'
import type { LiveStoreSchema } from './schema.js'
import { type BindValues, type JsonValue, namedParameters, positional, wellFormed } from './sql.js'

/** The number of a text, and the values for its `?`. */
type Write = readonly [number, ReadonlyArray<JsonValue>]

/** Texts that are kept at most, and characters that they have: an app may put values into its SQL. */
const MOST_TEXTS = 500
const MOST_CHARACTERS = 1 << 20

/** Gives texts numbers, so that each goes over to the engine once. */
class Statements {
  readonly #numbers = new Map<string, number>()
  readonly #texts = new Map<number, string>()
  #characters = 0
  #next = 0

  numberOf(text: string): number {
    let number = this.#numbers.get(text)
    if (number === undefined) {
      number = this.#next++
      this.#numbers.set(text, number)
      this.#texts.set(number, text)
      this.#characters += text.length
    }
    return number
  }

  textOf(number: number): string {
    const text = this.#texts.get(number)
    if (text === undefined) throw new LiveStoreError('MaterializeError', `no write has the number ${number}`)
    return text
  }

  /** Forgets all texts once they are many. No number is given again. */
  tidy(): void {
    if (this.#texts.size < MOST_TEXTS && this.#characters < MOST_CHARACTERS) return
    this.#numbers.clear()
    this.#texts.clear()
    this.#characters = 0
  }
}

const NO_FACTS: ReadonlyMap<string, unknown> = new Map()

/** The texts of writes of the builder. */
const texts = new Forms<string>()

/** Turns events into SQL with the app's materializers. */
export class Materializing {
  readonly #schema: LiveStoreSchema
  readonly #statements = new Statements()

  constructor(schema: LiveStoreSchema) {
    this.#schema = schema
  }

  /** Returns the writes as the engine takes them: pairs of a number and a list of values, as JSON. */
  run(
    name: string,
    argsJson: string,
    clientId: string,
    sessionId: string,
    query: (description: string, values: string) => EngineRows,
  ): string {
    const def = this.#schema.eventsDefsMap.get(name) as EventDef.AnyWithoutFn
    const materializer = this.#schema.state.materializers.get(name) as Materializer
    const encoded: unknown = JSON.parse(argsJson)
    const args: unknown = decodeStored(def, encoded)
    const read: MaterializerContextQuery = (input: any) => {
      const compiled = compileInputRead(input, sessionId)
      return decodeAll(compiled, engine(() => query(compiled.description, compiled.values))) as any
    }
    const { ROOT } = EventSequenceNumber.Client
    const result = materializer(args, {
      query: read,
      event: { name, args, clientId, sessionId, seqNum: ROOT, parentSeqNum: ROOT },
      eventDef: def,
      currentFacts: NO_FACTS,
    })
    const writes: Write[] = []
    this.#statements.tidy()
    this.#collect(result, encoded as Record<string, unknown>, sessionId, writes, name)
    return wellFormed(JSON.stringify(writes))
  }

  /** Returns the text of a write that has just been returned. */
  textOf(number: number): string {
    return this.#statements.textOf(number)
  }

  #collect(result: unknown, args: Record<string, unknown>, sessionId: string, writes: Write[], event: string): void {
    const push = (text: string, values: ReadonlyArray<JsonValue>) => writes.push([this.#statements.numberOf(text), values])
    if (result === undefined || result === null) return
    if (Array.isArray(result)) {
      for (const one of result) this.#collect(one, args, sessionId, writes, event)
      return
    }
    if (typeof result === 'string') {
      const names = namedParameters(result)
      const values = Object.fromEntries(names.map((name) => [name, args[name] ?? null]))
      push(result, positional(result, values as BindValues, sessionId))
      return
    }
    if (isQueryBuilder(result)) {
      const ast = astOf(result)
      const values = jsonValuesOf(ast, sessionId)
      push(texts.get(ast, values, () => textOf(withoutReturning(ast))), values)
      return
    }
    const { sql, bindValues, then } = result as { sql?: unknown; bindValues?: BindValues; then?: unknown }
    if (typeof sql === 'string') {
      push(sql, positional(sql, bindValues, sessionId))
      return
    }
    throw new LiveStoreError(
      'MaterializeError',
      `the materializer of ${event} returned ${typeof result}, where writes of the query builder or SQL are expected` +
        (then === undefined ? '' : '; it must not be asynchronous'),
      { event },
    )
  }
}

/** Nobody is there to take what a write of a materializer returns. */
const withoutReturning = (ast: QueryBuilderAst): QueryBuilderAst =>
  'returning' in ast ? { ...ast, returning: undefined } : ast
