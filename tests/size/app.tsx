// A small app, of which the packages' weight is taken: `side.ts` says which packages.

import * as React from 'react'
import { createRoot } from 'react-dom/client'

import { type AppStore, events, open, tables, useQuery } from './side.js'

const App = ({ store }: { store: AppStore }) => {
  const todos = useQuery(store, tables.todos.orderBy('id', 'asc'))
  return (
    <ul>
      {todos.map((todo) => (
        <li key={todo.id}>{todo.text}</li>
      ))}
      <button onClick={() => store.commit(events.todoCreated({ id: String(todos.length), text: 'more' }))}>more</button>
    </ul>
  )
}

const store = await open()
createRoot(document.body).render(<App store={store} />)
