import {
  type ClientDocumentTableDef,
  type LiveQuery,
  type LiveQueryDef,
  queryDb,
  SessionIdSymbol,
  type Store,
} from '@livestore-rs/common'
import { documentOf } from '@livestore-rs/common/internal'
import * as React from 'react'

import { useQueryRef } from './use-query.js'

export type Dispatch<A> = (action: A) => void
export type SetStateAction<S> = S | ((previous: S) => S)
export type SetStateActionPartial<S> = Partial<S> | ((previous: S) => Partial<S>)

/** Sets a document: some of its fields, if that is what its table takes. */
export type StateSetters<TTable extends ClientDocumentTableDef.TraitAny> = Dispatch<
  TTable extends ClientDocumentTableDef.Trait<any, any, any, infer TOptions>
    ? TOptions['partialSet'] extends false
      ? SetStateAction<TTable['Value']>
      : SetStateActionPartial<TTable['Value']>
    : never
>

export type UseClientDocumentResult<TTable extends ClientDocumentTableDef.TraitAny> = [
  row: TTable['Value'],
  setRow: StateSetters<TTable>,
  id: string,
  query: LiveQuery<TTable['Value']>,
]

export interface UseClientDocumentOptions<TTable extends ClientDocumentTableDef.TraitAny> {
  /** What the document is as long as it was not set. */
  readonly default?: TTable['Value'] | Partial<TTable['Value']>
}

export interface UseClientDocument {
  <TTable extends ClientDocumentTableDef.Trait<any, any, any, any>>(
    table: TTable,
    options: UseClientDocumentOptions<TTable>,
  ): UseClientDocumentResult<TTable>
  <TTable extends ClientDocumentTableDef.Trait<any, any, any, any>>(
    table: TTable,
    id?: ClientDocumentTableDef.DefaultIdType<TTable> | string | SessionIdSymbol,
    options?: UseClientDocumentOptions<TTable>,
  ): UseClientDocumentResult<TTable>
}

const isId = (value: unknown): value is string | SessionIdSymbol => typeof value === 'string' || value === SessionIdSymbol

/** Returns a client document with a function that sets it, as `useState` does. */
export const useClientDocument = ((
  table: ClientDocumentTableDef.Any,
  idOrOptions?: string | SessionIdSymbol | UseClientDocumentOptions<any>,
  givenOptions?: UseClientDocumentOptions<any>,
  context?: { readonly store?: Store<any, any> },
) => {
  const store = context?.store
  if (store === undefined) throw new Error('No store provided to useClientDocument: use `store.useClientDocument`')
  const options = isId(idOrOptions) ? givenOptions : (idOrOptions ?? givenOptions)
  const id = isId(idOrOptions) ? idOrOptions : documentOf(table).defaultId
  if (id === undefined) {
    throw new Error(`The client document ${table.sqliteDef.name} has no default id: say whose it is`)
  }
  const concrete = id === SessionIdSymbol ? store.sessionId : id
  const given = options?.default
  const key = documentOf(table).keyOf(given)
  const def = React.useMemo<LiveQueryDef<any>>(
    () => queryDb((table as any).get(concrete, given === undefined ? {} : { default: given })),
    // Equal defaults are the same, however often they are written.
    [table, concrete, key],
  )
  const { valueRef, queryRcRef } = useQueryRef(def, { store })
  const set = React.useCallback(
    (action: any) => {
      const before = store.query(def)
      const next = typeof action === 'function' ? action(before) : action
      if (Object.is(next, before)) return
      store.commit((table as any).set(next, concrete))
    },
    [store, table, concrete, def],
  )
  return [valueRef.current, set, concrete, queryRcRef.value]
}) as UseClientDocument
