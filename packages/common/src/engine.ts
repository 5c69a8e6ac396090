/** What an adapter gives: stores of the Rust core. */

/** Rows of a query, each a list of values; the names of the columns, if there are rows. */
export type EngineRows = unknown[][] & { readonly columns?: string[] }

/** What the engine asks this package for. */
export interface EngineHost {
  materialize(
    name: string,
    args: string,
    clientId: string,
    sessionId: string,
    query: (description: string, values: string) => EngineRows,
  ): string
  /** The text of a write that `materialize` has returned the number of. */
  statement(number: number): string
  compute(id: number, read: (live: number) => unknown): unknown
  equal(left: unknown, right: unknown): boolean
  token(request: 'connect' | 'renew'): Promise<string>
  unknownEvent(event: string): void
}

/** Something that the engine goes on with until it is freed. */
export interface EngineSubscription {
  free(): void
}

/** A live query or value of the engine. */
export interface EngineLive {
  readonly id: number
  take(): unknown[] | undefined
  columns(): string[] | null
  value(): unknown
  set(value: unknown): void
  version(): number
  subscribe(onChange: () => void): EngineSubscription
  explain(): string
  free(): void
}

export interface EngineReceipt {
  readonly groupId: string
  persisted(): Promise<string>
  confirmed(): Promise<[number, number]>
  fate(): Promise<string>
}

/** Events that are waited for; once this is freed, there are none. */
export interface EngineEvents {
  readonly found: Promise<string>
  free(): void
}

/** A store of the engine. */
export interface EngineStore {
  readonly storeId: string
  readonly clientId: string
  readonly sessionId: string
  commit(events: string[]): EngineReceipt
  /** Reads once: each text of a selection is the number of one of the values, which are an array as JSON. */
  query(description: string, values: string): EngineRows
  liveQuery(description: string, label?: string): EngineLive
  liveChoice(id: number, label?: string): EngineLive
  liveComputed(id: number, label?: string): EngineLive
  liveSignal(initial: unknown): EngineLive
  syncStatus(): string
  subscribeSyncStatus(onChange: (json: string) => void): EngineSubscription
  nextEvents(options: string): EngineEvents
  deadLetters(): string
  subscribeDeadLetters(onChange: (json: string) => void): EngineSubscription
  acknowledgeDeadLetter(groupId: string): boolean
  retryDeadLetter(groupId: string): EngineReceipt
  quarantined(): string
  subscribeWarnings(onChange: (json: string) => void): EngineSubscription
  retryNow(): void
  shutdown(): void
}

/** How a store of the engine is opened. */
export interface EngineOptions {
  readonly storeId: string
  readonly clientId?: string
  readonly sessionId?: string
  readonly schema: object
  readonly unknownEvents?: string
  readonly sync?: { readonly url: string; readonly hasTokens: boolean }
}
