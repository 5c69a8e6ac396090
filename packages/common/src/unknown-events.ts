/** What is done about events that the schema does not have. */
export declare namespace UnknownEvents {
  export type Reason = 'event-definition-missing' | 'materializer-missing'
  export type HandlingStrategy = HandlingConfig['strategy']
  export interface Context {
    readonly event: {
      readonly name: string
      readonly args: unknown
      readonly seqNum: number
      readonly clientId: string
      readonly sessionId: string
    }
    readonly reason: Reason
  }
  export type Callback = (context: Context) => void | PromiseLike<void>
  export type HandlingConfig =
    | { readonly strategy: 'warn' }
    | { readonly strategy: 'ignore' }
    | { readonly strategy: 'fail' }
    | { readonly strategy: 'callback'; readonly onUnknownEvent: Callback }
}
