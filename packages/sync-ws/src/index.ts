import type { SyncBackend, TokenRequest } from '@livestore-rs/common'

export interface WsSyncOptions {
  /** The server's address, such as `wss://sync.example.com`; without a path it gets `/sync`. */
  readonly url: string
  /**
   * The token to show, or what gives it: asked whenever the store connects, and with `renew` if the server did not
   * want the last one any more. May take up to 30 seconds.
   *
   * Throw `new SignedOut('…')` if there is none: then the store stops syncing.
   */
  readonly token?: string | ((request: TokenRequest) => string | Promise<string>) | undefined
}

/** There is no token any more: the store stops syncing, and the app goes on offline. */
export class SignedOut extends Error {
  readonly _tag = 'SignedOut'
  override readonly name = 'SignedOut'
}

/** Syncs with the LiveStore server over WebSocket. */
export const makeWsSync = (options: WsSyncOptions): SyncBackend => {
  const { url, token } = options
  if (!/^wss?:\/\//.test(url)) {
    // Not with what may be a secret.
    const shown = /[@?#]/.test(url) ? '' : `: ${url}`
    throw new TypeError(`the address has to start with wss:// or ws://, and does not${shown}`)
  }
  return { kind: 'ws', url, token: typeof token === 'string' ? () => token : token }
}
