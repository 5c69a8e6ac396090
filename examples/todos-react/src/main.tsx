import { makeInMemoryAdapter } from '@livestore-rs/adapter-web'
import { nanoid, queryDb, StoreRegistry, storeOptions } from '@livestore-rs/livestore'
import { StoreRegistryProvider, useStore } from '@livestore-rs/react'
import { makeWsSync } from '@livestore-rs/sync-ws'
import { memo, StrictMode, Suspense } from 'react'
import { createRoot } from 'react-dom/client'

import { events, schema, tables } from './schema.js'

const url = new URLSearchParams(location.search).get('sync') ?? 'ws://127.0.0.1:7433'

/** Each client has a registry of its own, as if it were a page of its own. */
const clients = ['ann', 'bob'].map((clientId) => ({
  clientId,
  registry: new StoreRegistry(),
  options: storeOptions({
    schema,
    storeId: 'todos',
    adapter: makeInMemoryAdapter({ clientId, sync: { backend: makeWsSync({ url }) } }),
  }),
}))
type Options = (typeof clients)[number]['options']

const shown = {
  all: queryDb(tables.todos.orderBy('createdAt', 'desc'), { label: 'all' }),
  open: queryDb(tables.todos.where({ completed: false }).orderBy('createdAt', 'desc'), { label: 'open' }),
  done: queryDb(tables.todos.where({ completed: true }).orderBy('createdAt', 'desc'), { label: 'done' }),
}

// A row that has not changed is the same object, so that its component is not rendered anew.
const Todo = memo(({ todo, options }: { todo: typeof tables.todos.Type; options: Options }) => {
  const store = useStore(options)
  const { id, text, completed } = todo
  return (
    <li>
      <label>
        <input
          type="checkbox"
          checked={completed}
          onChange={() => store.commit(events.todoCompleted({ id, completed: !completed }))}
        />
        <span className={completed ? 'done' : ''}>{text}</span>
      </label>
      <button aria-label={`Delete ${text}`} onClick={() => store.commit(events.todoDeleted({ id }))}>
        ×
      </button>
    </li>
  )
})

const Status = ({ options }: { options: Options }) => {
  const { connection, isSynced, pendingCount } = useStore(options).useSyncStatus()
  return <small>{isSynced ? 'in step' : `${connection}, ${pendingCount} to send`}</small>
}

const Client = ({ clientId, options }: { clientId: string; options: Options }) => {
  const store = useStore(options)
  const [ui, setUi] = store.useClientDocument(tables.ui)
  const todos = store.useQuery(shown[ui.filter])
  const left = store.useQuery(tables.todos.count().where({ completed: false }))

  const add = (event: React.FormEvent) => {
    event.preventDefault()
    if (ui.draft.trim() === '') return
    const created = events.todoCreated({ id: nanoid(), text: ui.draft.trim(), createdAt: new Date() })
    store.commit(created, tables.ui.set({ draft: '' }))
  }

  return (
    <section aria-label={clientId}>
      <h2>
        {clientId} <Status options={options} />
      </h2>
      <form onSubmit={add}>
        <input
          aria-label="What is to be done?"
          placeholder="What is to be done?"
          value={ui.draft}
          onChange={(event) => setUi({ draft: event.target.value })}
        />
      </form>
      <ul>
        {todos.map((todo) => (
          <Todo key={todo.id} todo={todo} options={options} />
        ))}
      </ul>
      <nav>
        <span>{left} left</span>
        {(['all', 'open', 'done'] as const).map((filter) => (
          <button key={filter} aria-pressed={ui.filter === filter} onClick={() => setUi({ filter })}>
            {filter}
          </button>
        ))}
      </nav>
    </section>
  )
}

createRoot(document.getElementById('root')!).render(
  <StrictMode>
    <Suspense fallback="Opening …">
      {clients.map(({ clientId, registry, options }) => (
        <StoreRegistryProvider key={clientId} storeRegistry={registry}>
          <Client clientId={clientId} options={options} />
        </StoreRegistryProvider>
      ))}
    </Suspense>
  </StrictMode>,
)
