import type { EventSequenceNumber } from './event-sequence-number.js'
import type { EventDef } from './events.js'
import type { LiveStoreSchema } from './schema.js'

interface Origin {
  readonly clientId: string
  readonly sessionId: string
}
interface Logged extends Origin {
  readonly seqNum: EventSequenceNumber.Client.Composite
  readonly parentSeqNum: EventSequenceNumber.Client.Composite
}
type DefsOf<TSchema extends LiveStoreSchema.Any> = TSchema['_EventDefMapType']

/** Events as apps and the log have them: arguments are decoded as the app has them, and encoded as they are stored. */
export declare namespace LiveStoreEvent {
  /** Events of one definition. */
  export namespace ForEventDef {
    export interface InputDecoded<TDef extends EventDef.AnyWithoutFn> {
      readonly name: TDef['name']
      readonly args: TDef['Event']['args']
    }
    export interface InputEncoded<TDef extends EventDef.AnyWithoutFn> {
      readonly name: TDef['name']
      readonly args: TDef extends { readonly encoded: (args: infer TEncoded) => unknown } ? TEncoded : any
    }
    export interface Decoded<TDef extends EventDef.AnyWithoutFn> extends InputDecoded<TDef>, Logged {}
    export interface Encoded<TDef extends EventDef.AnyWithoutFn> extends InputEncoded<TDef>, Logged {}
  }
  /** Events that are to be committed. */
  export namespace Input {
    export type Decoded = ForEventDef.InputDecoded<EventDef.Any>
    export type Encoded = ForEventDef.InputEncoded<EventDef.Any>
    /** Any event of a schema; the name tells which. */
    export type ForSchema<TSchema extends LiveStoreSchema.Any> = {
      [K in keyof DefsOf<TSchema>]: ForEventDef.InputDecoded<DefsOf<TSchema>[K]>
    }[keyof DefsOf<TSchema>]
  }
  /** Events with their position in the log of a client. */
  export namespace Client {
    export type Decoded = ForEventDef.Decoded<EventDef.Any>
    export type Encoded = ForEventDef.Encoded<EventDef.Any>
    /** Any event of a schema; the name tells which. */
    export type ForSchema<TSchema extends LiveStoreSchema.Any> = {
      [K in keyof DefsOf<TSchema>]: ForEventDef.Decoded<DefsOf<TSchema>[K]>
    }[keyof DefsOf<TSchema>]
  }
  /** Events with their position in the log of a backend. */
  export namespace Global {
    export interface Encoded extends Input.Encoded, Origin {
      readonly seqNum: EventSequenceNumber.Global.Type
      readonly parentSeqNum: EventSequenceNumber.Global.Type
    }
  }
}
