import type { EventDef } from './events.js'
import type { LiveStoreEvent } from './live-store-event.js'
import type { QueryBuilder } from './query-builder-types.js'
import type { BindValues, ParamsObject } from './sql.js'

/** A write: one of the query builder, or SQL; a text's parameters are the event's arguments as they are stored. */
export type MaterializerResult =
  | { readonly sql: string; readonly bindValues?: BindValues; readonly writeTables?: ReadonlySet<string> }
  | QueryBuilder.Any
  | string

export interface MaterializerContextQuery {
  (query: { readonly query: string; readonly bindValues?: BindValues | ParamsObject }): ReadonlyArray<any>
  <TResult>(query: QueryBuilder.Base<TResult>): TResult
}

export interface MaterializerContext<TEventDef extends EventDef.AnyWithoutFn = EventDef.AnyWithoutFn> {
  /** Reads the state as it was before the event. */
  readonly query: MaterializerContextQuery
  readonly event: LiveStoreEvent.Client.Decoded
  readonly eventDef: TEventDef
  readonly currentFacts: ReadonlyMap<string, unknown>
}

type Writes = MaterializerResult | ReadonlyArray<Writes>

/** Turns an event into writes; has to do the same with the same event and state, always and everywhere. */
export type Materializer<TEventDef extends EventDef.AnyWithoutFn = EventDef.AnyWithoutFn> = (
  args: TEventDef['Event']['args'],
  context: MaterializerContext<TEventDef>,
) => Writes | void

/** Gives a materializer the types of its event. */
export const defineMaterializer = <TEventDef extends EventDef.AnyWithoutFn>(
  _event: TEventDef,
  materializer: Materializer<TEventDef>,
): Materializer<TEventDef> => materializer

type NamesOf<TEvents extends Record<string, EventDef.AnyWithoutFn>> = {
  [K in keyof TEvents]: TEvents[K]['options']['derived'] extends true ? never : TEvents[K]['name']
}[keyof TEvents]
type ByName<TEvents extends Record<string, EventDef.AnyWithoutFn>> = {
  readonly [TName in NamesOf<TEvents>]: Materializer<Extract<TEvents[keyof TEvents], { readonly name: TName }>>
}

/** The materializers of events, by the events' names. */
export const materializers = <TEvents extends Record<string, EventDef.AnyWithoutFn>>(
  _events: TEvents,
  handlers: ByName<TEvents>,
): ByName<TEvents> => handlers
