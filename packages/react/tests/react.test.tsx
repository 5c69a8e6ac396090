import '@livestore-rs/react'

import { makeInMemoryAdapter } from '@livestore-rs/adapter-web'
import {
  computed,
  createStore,
  makeSchema,
  queryDb,
  Schema,
  signal,
  State,
  type Store,
  StoreRegistry,
  storeOptions,
} from '@livestore-rs/livestore'
import { LiveList, StoreRegistryProvider, useQueryRef, useStore } from '@livestore-rs/react'
import * as React from 'react'
import { afterEach, expect, test, vi } from 'vitest'

import { created, events, open, schema, tables } from '../../livestore/tests/support.js'
import { act, cleanup, render, renderLater, text, texts } from './support.js'

afterEach(cleanup)

/** Shows how what is in it fails. */
class Boundary extends React.Component<{ children: React.ReactNode }> {
  override state: { tag?: string } = {}
  static getDerivedStateFromError(error: { _tag?: string }) {
    return { tag: error._tag }
  }
  override render() {
    return this.state.tag === undefined ? this.props.children : <p data-testid="failed">{this.state.tag}</p>
  }
}

type AppStore = ReturnType<typeof open>

test('a component shows a query and is rendered when it changes', () => {
  const store = open()
  const all$ = queryDb(tables.todos.orderBy('id', 'asc'), { label: 'all' })
  const App = () => <p data-testid="list">{store.useQuery(all$).map((todo) => todo.text).join()}</p>
  render(<App />)
  expect(text('list')).toBe('')
  act(() => void store.commit(created('a'), created('b')))
  expect(text('list')).toBe('todo a,todo b')
})

test('a changed row renders its component and no other', () => {
  const store = open()
  store.commit(...['a', 'b', 'c'].map((id) => created(id)))
  const renders: Record<string, number> = {}
  const Row = React.memo(({ todo }: { todo: typeof tables.todos.Type }) => {
    renders[todo.id] = (renders[todo.id] ?? 0) + 1
    return <li>{todo.completed ? 'done' : 'open'}</li>
  })
  const App = () => (
    <ul>
      {store.useQuery(tables.todos.orderBy('id', 'asc')).map((todo) => (
        <Row key={todo.id} todo={todo} />
      ))}
    </ul>
  )
  render(<App />)
  act(() => void store.commit(events.todoCompleted({ id: 'b' })))
  expect(renders).toEqual({ a: 1, b: 2, c: 1 })
})

test('a query that is written anew with each rendering is the same one', () => {
  const store = open()
  let renders = 0
  const App = ({ id }: { id: string }) => {
    renders++
    return <p data-testid="one">{store.useQuery(tables.todos.where({ id }).first())?.text ?? 'none'}</p>
  }
  const { rerender } = render(<App id="a" />)
  act(() => void store.commit(created('b')))
  expect(renders).toBe(1)
  act(() => void store.commit(created('a')))
  expect(text('one')).toBe('todo a')
  expect(renders).toBe(2)
  rerender(<App id="b" />)
  expect(text('one')).toBe('todo b')
})

test('signals and computed values are followed', () => {
  const store = open()
  store.commit(created('a'))
  const selected$ = signal<string | null>(null)
  const text$ = computed((get) => {
    const id = get(selected$)
    return id === null ? 'nothing' : get(queryDb(tables.todos.where({ id }).first()))?.text
  })
  const App = () => <p data-testid="text">{store.useQuery(text$)}</p>
  render(<App />)
  expect(text('text')).toBe('nothing')
  act(() => store.setSignal(selected$, 'a'))
  expect(text('text')).toBe('todo a')
})

test('a client document is like state', () => {
  const store = open()
  let set: (value: Partial<{ filter: string; open: boolean }>) => void = () => {}
  const ids: string[] = []
  const App = () => {
    const [ui, setUi, id] = store.useClientDocument(tables.ui)
    set = setUi
    ids.push(id)
    return <p data-testid="ui">{`${ui.filter} ${ui.open}`}</p>
  }
  render(<App />)
  expect(text('ui')).toBe('all false')
  act(() => set({ open: true }))
  expect(text('ui')).toBe('all true')
  expect(new Set(ids)).toEqual(new Set([store.sessionId]))
})

test('a client document that was not set can have another default', () => {
  const store = open()
  const App = () => {
    const [ui] = store.useClientDocument(tables.ui, { default: { filter: 'mine' } })
    const [other] = store.useClientDocument(tables.ui, 'other', { default: { open: true } })
    return <p data-testid="ui">{`${ui.filter} ${ui.open} ${other.filter} ${other.open}`}</p>
  }
  render(<App />)
  expect(text('ui')).toBe('mine false all true')
})

test('a client document of a set is the default that is given now', () => {
  const { ReadonlySet, String, Struct } = Schema
  const schemaOfIds = Struct({ ids: ReadonlySet(String) })
  const picked = State.SQLite.clientDocument({
    name: 'picked',
    schema: schemaOfIds,
    default: { id: 'mine', value: { ids: new Set<string>() } },
  })
  const state = State.SQLite.makeState({ tables: { picked }, materializers: {} })
  const store = createStore({ schema: makeSchema({ events: {}, state }), adapter: makeInMemoryAdapter(), storeId: 'picked' })
  const App = ({ id }: { id: string }) => {
    const [{ ids }] = store.useClientDocument(picked, { default: { ids: new Set([id]) } })
    return <p data-testid="picked">{[...ids].join()}</p>
  }
  const { rerender } = render(<App id="a" />)
  expect(text('picked')).toBe('a')
  rerender(<App id="b" />)
  expect(text('picked')).toBe('b')
})

test('strict mode subscribes as well, and all is given back', async () => {
  const store = open()
  const query = tables.todos.count()
  const App = () => <p data-testid="count">{store.useQuery(query)}</p>
  const { unmount } = render(
    <React.StrictMode>
      <App />
    </React.StrictMode>,
  )
  act(() => void store.commit(created('a')))
  expect(text('count')).toBe('1')
  unmount()
  await new Promise((resolve) => setTimeout(resolve, 0))
  let isGone: boolean | undefined
  store.subscribe(query, () => {}, { onSubscribe: (live) => (isGone = live.runs <= 1) })
  expect(isGone).toBe(true)
})

test('a query that fails ends at the nearest boundary', () => {
  const store = open()
  const error = vi.spyOn(console, 'error').mockImplementation(() => {})
  class Boundary extends React.Component<{ children: React.ReactNode }, { why?: string }> {
    override state: { why?: string } = {}
    static getDerivedStateFromError(error: Error) {
      return { why: error.message }
    }
    override render() {
      return this.state.why === undefined ? this.props.children : <p data-testid="why">{this.state.why}</p>
    }
  }
  const App = () => <p>{store.useQuery(tables.todos.first({ behaviour: 'error' })).text}</p>
  render(
    <Boundary>
      <App />
    </Boundary>,
  )
  expect(text('why')).toMatch(/no row of todos/)
  error.mockRestore()
})

const Providing = ({ children, registry }: { children: React.ReactNode; registry: StoreRegistry }) => (
  <StoreRegistryProvider storeRegistry={registry}>
    <React.Suspense fallback={<p data-testid="waiting">waiting</p>}>{children}</React.Suspense>
  </StoreRegistryProvider>
)

test('a store of a registry is there at once if its adapter can', () => {
  const registry = new StoreRegistry()
  const options = storeOptions({ schema, adapter: makeInMemoryAdapter(), storeId: 'of-registry' })
  const App = () => {
    const store = useStore(options)
    return <p data-testid="count">{store.useQuery(tables.todos.count())}</p>
  }
  render(
    <Providing registry={registry}>
      <App />
    </Providing>,
  )
  expect(text('count')).toBe('0')
})

test('boot status may be shown while a store opens', async () => {
  const error = vi.spyOn(console, 'error')
  const registry = new StoreRegistry()
  const stages: string[] = []
  const Opened = ({ onStage }: { onStage: (stage: string) => void }) => {
    const options = { schema, adapter: makeInMemoryAdapter(), storeId: 'booting' }
    useStore({ ...options, onBootStatus: ({ stage }) => onStage(stage) })
    return null
  }
  const App = () => {
    const [stage, setStage] = React.useState('none')
    stages.push(stage)
    return <Opened onStage={setStage} />
  }
  await renderLater(
    <Providing registry={registry}>
      <App />
    </Providing>,
  )
  expect([stages[0], stages.at(-1)]).toEqual(['none', 'done'])
  expect(error).not.toHaveBeenCalled()
  error.mockRestore()
  await registry.dispose()
})

test('the functions of a store may be taken from it', () => {
  const store = open()
  const App = () => {
    const { useQuery, useClientDocument, useSyncStatus } = store
    const [ui, setUi] = useClientDocument(tables.ui)
    return (
      <p data-testid="all" onClick={() => setUi({ filter: 'open' })}>
        {[useQuery(tables.todos.count()), ui.filter, useSyncStatus().isSynced].join(' ')}
      </p>
    )
  }
  render(<App />)
  expect(store.useQuery).toBe(store.useQuery)
  act(() => void store.commit(created('a')))
  act(() => (document.querySelector('[data-testid="all"]') as HTMLElement).click())
  expect(text('all')).toMatch(/^1 open/)
})

test('a store that takes a while suspends, and two components have the same one', async () => {
  const registry = new StoreRegistry({ defaultOptions: { unusedCacheTime: 0 } })
  const options = storeOptions({
    schema,
    adapter: makeInMemoryAdapter(),
    storeId: 'slow',
    boot: async (store) => {
      await new Promise((resolve) => setTimeout(resolve, 10))
      store.commit(created('booted'))
    },
  })
  const stores: Store<any, any>[] = []
  const One = () => {
    const store = useStore(options)
    stores.push(store)
    return <p data-testid="count">{store.useQuery(tables.todos.count())}</p>
  }
  const { unmount } = await renderLater(
    <Providing registry={registry}>
      <One />
      <One />
    </Providing>,
  )
  expect(texts('waiting').length + texts('count').length).toBeGreaterThan(0)
  await act(() => new Promise((resolve) => setTimeout(resolve, 50)))
  await vi.waitFor(() => expect(texts('count')).toEqual(['1', '1']))
  expect(new Set(stores).size).toBe(1)
  unmount()
  await new Promise((resolve) => setTimeout(resolve, 20))
  expect(() => stores[0]?.query(tables.todos)).toThrow(/shut down/)
})

test('a rendering that takes its time never shows two states at once', async () => {
  const store: AppStore = open()
  const count$ = tables.todos.count()
  const shown: string[][] = []
  const Slow = () => {
    const until = performance.now() + 5
    const count = store.useQuery(count$)
    while (performance.now() < until);
    return <p data-testid="slow">{count}</p>
  }
  let show: (is: boolean) => void = () => {}
  const App = () => {
    const [isShown, setIsShown] = React.useState(false)
    show = setIsShown
    React.useLayoutEffect(() => void shown.push([...new Set(texts('slow') as string[])]))
    return isShown ? Array.from({ length: 20 }, (_, nth) => <Slow key={nth} />) : null
  }
  render(<App />)
  Object.assign(globalThis, { IS_REACT_ACT_ENVIRONMENT: false })
  try {
    React.startTransition(() => show(true))
    // While the first of them are rendered and the others are not.
    await new Promise((resolve) => setTimeout(resolve, 30))
    expect(texts('slow')).toEqual([])
    store.commit(created('x'))
    await vi.waitFor(() => expect(texts('slow')).toEqual(Array(20).fill('1')), { timeout: 5000 })
  } finally {
    Object.assign(globalThis, { IS_REACT_ACT_ENVIRONMENT: true })
  }
  expect(shown.filter((values) => values.length > 1)).toEqual([])
})

test('a store that cannot be opened is told to the nearest boundary, and opened once', async () => {
  vi.spyOn(console, 'error').mockImplementation(() => {})
  const registry = new StoreRegistry()
  let opened = 0
  const options = storeOptions({
    schema,
    adapter: makeInMemoryAdapter(),
    storeId: 'broken',
    boot: async () => {
      opened++
      throw new Error('no network')
    },
  })
  class Boundary extends React.Component<{ children: React.ReactNode }, { why?: string }> {
    override state: { why?: string } = {}
    static getDerivedStateFromError(error: Error) {
      return { why: error.message }
    }
    override render() {
      return this.state.why === undefined ? this.props.children : <p data-testid="why">{this.state.why}</p>
    }
  }
  const App = () => <p>{useStore(options).storeId}</p>
  await renderLater(
    <Boundary>
      <Providing registry={registry}>
        <App />
      </Providing>
    </Boundary>,
  )
  await act(() => new Promise((resolve) => setTimeout(resolve, 50)))
  expect(text('why')).toBe('no network')
  expect(opened).toBe(1)
  await registry.dispose()
})

test('what a store has shown that is closed stays', () => {
  const store = open()
  store.commit(created('a'))
  const App = ({ name }: { name: string }) => (
    <p data-testid="closed">{`${name} ${store.useQuery(tables.todos.count())} ${store.useSyncStatus().pendingCount}`}</p>
  )
  const { rerender } = render(<App name="one" />)
  act(() => store.shutdown())
  rerender(<App name="two" />)
  expect(text('closed')).toBe('two 1 1')
})

test('a store that was closed shows nothing for a query that it has not shown', () => {
  const error = vi.spyOn(console, 'error').mockImplementation(() => {})
  const store = open()
  store.commit(created('a'))
  const Todo = ({ id }: { id: string }) => <p data-testid="todo">{store.useQuery(tables.todos.where({ id }).first())?.text ?? 'none'}</p>
  const Done = () => <p data-testid="done">{store.useQuery(queryDb(() => tables.todos.where({ completed: false }))).length}</p>
  const app = (id: string) => (
    <>
      <Boundary>
        <Todo id={id} />
      </Boundary>
      <Done />
    </>
  )
  const { rerender } = render(app('a'))
  act(() => store.shutdown())
  rerender(app('a'))
  expect([text('todo'), text('done')]).toEqual(['todo a', '1'])
  rerender(app('b'))
  expect([text('todo'), text('failed'), text('done')]).toEqual(['', 'StoreClosed', '1'])
  error.mockRestore()
})

test('what was rendered with another store and thrown away leaves no trace', async () => {
  const [store, other] = [open(), open()]
  store.commit(created('a'))
  const never = new Promise<void>(() => {})
  const Wait = ({ isOver }: { isOver: boolean }) => {
    if (!isOver) throw never
    return null
  }
  const App = ({ of, name }: { of: AppStore; name: string }) => (
    <>
      <p data-testid="thrown">{`${name} ${of.useQuery(tables.todos.count())}`}</p>
      <Wait isOver={of === store} />
    </>
  )
  let setApp: (props: { of: AppStore; name: string }) => void = () => {}
  const Root = () => {
    const [props, setProps] = React.useState({ of: store, name: 'one' })
    setApp = setProps
    return (
      <React.Suspense fallback="waits">
        <App {...props} />
      </React.Suspense>
    )
  }
  await renderLater(<Root />)
  await act(async () => React.startTransition(() => setApp({ of: other, name: 'two' })))
  expect(text('thrown')).toBe('one 1')
  store.shutdown()
  await act(async () => setApp({ of: store, name: 'three' }))
  expect(text('thrown')).toBe('three 1')
})

test('the ref of a query has the newest value, for functions that were made before', () => {
  const store = open()
  const refs = new Set<object>()
  let read = () => -1
  const App = () => {
    const { valueRef } = useQueryRef(tables.todos.count(), { store })
    refs.add(valueRef)
    React.useEffect(() => void (read = () => valueRef.current), [])
    return <p>{valueRef.current}</p>
  }
  render(<App />)
  act(() => void store.commit(created('a')))
  expect(read()).toBe(1)
  expect(refs.size).toBe(1)
})

test('a list renders the items that have changed', () => {
  const store = open()
  store.commit(...['a', 'b', 'c'].map((id) => created(id)))
  const all$ = queryDb(tables.todos.orderBy('id', 'asc'))
  const rendered: string[] = []
  const renderItem = (todo: typeof tables.todos.Type, { index }: { index: number }) => {
    rendered.push(todo.id)
    return <li data-testid="item">{`${index} ${todo.completed ? 'done' : 'open'}`}</li>
  }
  const getKey = (todo: typeof tables.todos.Type) => todo.id
  render(<LiveList items$={all$} renderItem={renderItem} getKey={getKey} store={store} />)
  expect(texts('item')).toEqual(['0 open', '1 open', '2 open'])
  rendered.length = 0
  act(() => void store.commit(events.todoCompleted({ id: 'b' })))
  expect(texts('item')).toEqual(['0 open', '1 done', '2 open'])
  expect(rendered).toEqual(['b'])
})

const { Activity } = React as { Activity?: React.FC<{ mode: 'visible' | 'hidden'; children: React.ReactNode }> }

test.skipIf(Activity === undefined)('what is shown again after its store was closed has it opened anew', async () => {
  const registry = new StoreRegistry()
  const options = storeOptions({ schema, adapter: makeInMemoryAdapter(), storeId: 'hidden', unusedCacheTime: 10 })
  const stores: object[] = []
  const App = React.memo(() => {
    const store = useStore(options)
    if (!stores.includes(store)) stores.push(store)
    return <p data-testid="shown">{`${store.useQuery(tables.todos.count())} ${store.useSyncStatus().pendingCount}`}</p>
  })
  let show: (mode: 'visible' | 'hidden') => void = () => {}
  const Tabs = ({ children }: { children: React.ReactNode }) => {
    const [mode, setMode] = React.useState<'visible' | 'hidden'>('visible')
    show = setMode
    const Mode = Activity as NonNullable<typeof Activity>
    return <Mode mode={mode}>{children}</Mode>
  }
  await renderLater(
    <Providing registry={registry}>
      <Tabs>
        <App />
      </Tabs>
    </Providing>,
  )
  act(() => void (stores[0] as AppStore).commit(created('a')))
  expect(text('shown')).toBe('1 1')
  act(() => show('hidden'))
  await act(() => new Promise((resolve) => setTimeout(resolve, 50)))
  await act(async () => show('visible'))
  expect(stores.length).toBe(2)
  expect(text('shown')).toBe('0 0')
  act(() => void (stores[1] as AppStore).commit(created('a'), created('b')))
  expect(text('shown')).toBe('2 2')
  await registry.dispose()
})
