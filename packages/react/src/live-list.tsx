import type { Queryable, Store } from '@livestore-rs/common'
import * as React from 'react'

import { useQuery } from './use-query.js'

export interface LiveListProps<TItem> {
  readonly items$: Queryable<ReadonlyArray<TItem>>
  /** Renders an item; it is called again for those items alone that have changed or moved. */
  readonly renderItem: (item: TItem, options: { readonly index: number; readonly isInitialListRender: boolean }) => React.ReactNode
  /** Tells items apart. */
  readonly getKey: (item: TItem, index: number) => string | number
  readonly store: Store<any, any>
}

/** Shows the items of a query. */
export const LiveList = <TItem,>({ items$, renderItem, getKey, store }: LiveListProps<TItem>): React.JSX.Element => {
  const items: ReadonlyArray<TItem> = useQuery(items$, { store })
  const [isInitialListRender, setInitial] = React.useState(true)
  React.useEffect(() => setInitial(false), [])
  return (
    <>
      {items.map((item, index) => (
        <Item key={getKey(item, index)} {...{ item, index, isInitialListRender, renderItem }} />
      ))}
    </>
  )
}

interface ItemProps<TItem> {
  readonly item: TItem
  readonly index: number
  readonly isInitialListRender: boolean
  readonly renderItem: LiveListProps<TItem>['renderItem']
}

// Rows that have not changed are the same objects.
const Item = React.memo(
  <TItem,>({ item, index, isInitialListRender, renderItem }: ItemProps<TItem>): React.JSX.Element => (
    <>{renderItem(item, { index, isInitialListRender })}</>
  ),
) as <TItem>(props: ItemProps<TItem> & { readonly key?: React.Key }) => React.JSX.Element
