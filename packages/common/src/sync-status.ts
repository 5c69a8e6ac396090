/** Where a store stands towards the backend. */
export interface SyncStatus {
  /** The last event here, such as `e5.2`. */
  readonly localHead: string
  /** The last event that the backend has confirmed, such as `e5`. */
  readonly upstreamHead: string
  /** Events that the backend has not confirmed. */
  readonly pendingCount: number
  /** Whether everything here is confirmed, and everything that the backend has is here. */
  readonly isSynced: boolean
  /** Whether there is a connection to a backend. */
  readonly connection: ConnectionState
  readonly confirmedHead: number
  /** The end of the backend's log, as far as it is known. */
  readonly backendHead: number | undefined
  /** What went wrong last, until something goes right. */
  readonly lastError: string | undefined
  /** When everything was last in step with the backend, in milliseconds since 1970. */
  readonly lastSyncedMs: number | undefined
  readonly rebases: number
  readonly deadLetters: number
  readonly quarantined: number
}

/** The connection to the backend; `noBackend` if the store has none. */
export type ConnectionState = 'noBackend' | 'connecting' | 'connected' | 'offline' | 'stopped' | (string & {})

export interface NetworkStatus {
  readonly isConnected: boolean
  readonly timestampMs: number
}

export const networkStatusOf = (status: SyncStatus): NetworkStatus => ({
  isConnected: status.connection === 'connected',
  timestampMs: Date.now(),
})

/** Reads the engine's status. */
export const syncStatusOf = (json: string): SyncStatus => {
  const status = JSON.parse(json)
  const local = status.localHead
  // What there is more to say of a state is its value.
  const connection: string = typeof status.connection === 'string' ? status.connection : Object.keys(status.connection)[0]
  return {
    localHead: typeof local === 'string' ? local : `e${local}`,
    upstreamHead: `e${status.confirmedHead}`,
    pendingCount: status.pendingEvents,
    isSynced: status.isSynced,
    connection,
    confirmedHead: status.confirmedHead,
    backendHead: status.backendHead ?? undefined,
    lastError: status.lastError ?? undefined,
    lastSyncedMs: status.lastSyncedMs ?? undefined,
    rebases: status.rebases,
    deadLetters: status.deadLetters,
    quarantined: status.quarantined,
  }
}
