/** Stands for the id of the session that uses it. */
export const SessionIdSymbol: unique symbol = Symbol.for('@livestore/session-id') as never
export type SessionIdSymbol = typeof SessionIdSymbol
