import type { EventSequenceNumber } from './event-sequence-number.js'

/** Events as the log has them. */
export declare namespace LiveStoreEvent {
  export namespace Input {
    export interface Decoded {
      readonly name: string
      readonly args: any
    }
  }
  export namespace Client {
    export interface Decoded extends Input.Decoded {
      readonly seqNum: EventSequenceNumber.Client.Composite
      readonly parentSeqNum: EventSequenceNumber.Client.Composite
      readonly clientId: string
      readonly sessionId: string
    }
  }
}
