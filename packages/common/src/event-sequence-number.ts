import { LiveStoreError } from './errors.js'

/** The position of an event: the last synced event, events of the client alone behind it, and rebases. */
export interface Composite {
  readonly global: number
  readonly client: number
  readonly rebaseGeneration: number
}

const NOTATION = /^e(\d+)(?:\.(\d+))?(?:r(\d+))?$/

/** Compares positions in the log. */
const compare = (left: Composite, right: Composite): number => left.global - right.global || left.client - right.client

const client = {
  /** Before the first event. */
  ROOT: { global: 0, client: 0, rebaseGeneration: 0 } as Composite,
  toString: ({ global, client, rebaseGeneration }: Composite): string =>
    `e${global}${client > 0 ? `.${client}` : ''}${rebaseGeneration > 0 ? `r${rebaseGeneration}` : ''}`,
  fromString: (text: string): Composite => {
    const [, global, client = '0', rebaseGeneration = '0'] = NOTATION.exec(text) ?? []
    if (global === undefined) throw new LiveStoreError('QueryError', `this is no position of an event: ${text}`)
    return { global: Number(global), client: Number(client), rebaseGeneration: Number(rebaseGeneration) }
  },
  fromGlobal: (global: number): Composite => ({ global, client: 0, rebaseGeneration: 0 }),
  /** Orders positions, and those that are the same by their rebases. */
  compare: (left: Composite, right: Composite): number =>
    compare(left, right) || left.rebaseGeneration - right.rebaseGeneration,
  isEqual: (left: Composite, right: Composite): boolean => client.compare(left, right) === 0,
  isGreaterThan: (left: Composite, right: Composite): boolean => compare(left, right) > 0,
  isGreaterThanOrEqual: (left: Composite, right: Composite): boolean => compare(left, right) >= 0,
  max: (left: Composite, right: Composite): Composite => (compare(left, right) > 0 ? left : right),
}

export const EventSequenceNumber = { Client: client, Global: { ROOT: 0 } }
export declare namespace EventSequenceNumber {
  export namespace Client {
    export type { Composite }
    export type Type = number
  }
  export namespace Global {
    export type Type = number
  }
}
