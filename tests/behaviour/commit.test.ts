import { computed, Events, queryDb, Schema } from '@livestore/livestore'
import { expect, test, vi } from 'vitest'

import { different } from './different.js'
import { completed, created, events, failsSilently, follow, ids, isShutDown, noted, open, tables, thrown, written } from './support.js'

const { todos, notes } = tables as Record<'todos' | 'notes', any>

test('events are committed at once, one or several', async () => {
  const store = await open()
  store.commit(created('a'))
  expect(ids(store, todos)).toBe('a')
  store.commit(created('b'), completed({ id: 'a' }), noted({ id: 'n' }))
  expect([ids(store, todos), ids(store, todos.where({ done: true })), ids(store, notes)]).toEqual(['ab', 'a', 'n'])
})

test('no events are no commit', async () => {
  const store = await open()
  store.commit()
  store.commit(undefined)
  expect(store.syncStatus().localHead).toBe('e0')
})

test('half a character is written and found as �', async () => {
  const store = await open({ write: ({ text }) => tables.todos.insert({ id: text.slice(0, 3), text: `\\ud83d ${text.slice(0, 3)}` }) })
  store.commit(written({ text: 'ab😀' }))
  store.commit(created('c', { text: 'c😀'.slice(0, 2) }))
  expect(store.query(todos.where({ id: 'ab😀'.slice(0, 3) }))).toMatchObject([{ id: 'ab�', text: '\\ud83d ab�' }])
  expect(store.query(todos.where({ text: 'c�' }))).toMatchObject([{ id: 'c' }])
})

const nothings: Array<[string, any, unknown]> = [
  ['null, among others', Schema.NullOr(Schema.String), null],
  ['null', Schema.Null, null],
  ['undefined, among others', Schema.UndefinedOr(Schema.Struct({ a: Schema.String })), undefined],
  ['undefined', Schema.Undefined, undefined],
  ['nothing', Schema.Void, undefined],
]
for (const [name, schema, value] of nothings) {
  test(`arguments may be ${name}`, async () => {
    const event: any = Events.synced({ name: 'v1.Nothing', schema })
    const seen: unknown[] = []
    const materializers = { 'v1.Nothing': (args: unknown) => (seen.push(args), []) }
    const store = await open({ events: { event }, materializers })
    store.commit(event(value))
    expect(store.syncStatus().localHead).toBe('e1')
    expect(seen[0]).toBe(value)
  })
}

const withNaN = async () => {
  const store = await open()
  const said = thrown(() => store.commit(created('a', { rank: Number.NaN })))
  return [said, said === '' ? store.query(todos.select('rank')) : []] as const
}
different('numbers-that-json-does-not-have', {
  livestore: async () => {
    expect(await withNaN()).toEqual(['', [null]])
  },
  ours: async () => {
    const [said] = await withNaN()
    expect(said).toMatch(/^Invalid event args for event 'v1.Created': of what JSON makes of them/)
    expect(said).toMatch(/rank/)
  },
})

const deep = (levels: number): unknown => (levels === 0 ? 0 : [deep(levels - 1)])
const sized = async () => {
  const store = await open()
  return [deep(200), 'x'.repeat(2 ** 20)].map((args) => thrown(() => store.commit(written(args))))
}
different('sizes-of-commits', {
  livestore: async () => {
    expect(await sized()).toEqual(['', ''])
  },
  ours: async () => {
    const [tooDeep, tooLong] = await sized()
    expect(tooDeep).toMatch(/more than 127 levels/)
    expect(tooLong).toMatch(/1048578 bytes/)
    const store = await open()
    const many = Array.from({ length: 10_001 }, () => written(0))
    expect(thrown(() => store.commit(...many))).toMatch(/10001 events/)
  },
})

test('options may come first', async () => {
  const store = await open()
  store.commit({ label: 'two' }, created('a'), created('b'))
  expect(ids(store, todos)).toBe('ab')
})

test('a follower is told once of a commit, however many events it has', async () => {
  const store = await open()
  const seen = follow(store, todos.count())
  store.commit(created('a'), created('b'), noted({ id: 'n' }))
  expect(seen).toEqual([0, 2])
})

test('what depends on two tables is told once', async () => {
  const store = await open()
  const [todos$, notes$] = [queryDb(todos.count()), queryDb(notes.count())]
  const seen = follow(store, computed((get) => `${get(todos$)}${get(notes$)}`))
  store.commit(created('a'), noted({ id: 'n' }))
  expect(seen).toEqual(['00', '11'])
})

test('a follower may commit', async () => {
  const store = await open()
  const seen: number[] = []
  store.subscribe(todos.count(), (count: number) => {
    seen.push(count)
    if (count === 1) store.commit(created('b'))
  })
  store.commit(created('a'))
  expect(seen).toEqual([0, 1, 2])
})

test('a follower that queries sees what it is told of', async () => {
  const store = await open()
  const seen: number[][] = []
  store.subscribe(todos.count(), (count: number) => seen.push([count, store.query(todos.count())]))
  store.commit(created('a'))
  expect(seen).toEqual([[0, 0], [1, 1]])
})

test('skipRefresh keeps followers waiting until manualRefresh', async () => {
  const store = await open()
  const seen = follow(store, todos.count())
  store.commit({ skipRefresh: true }, created('a'))
  expect(seen).toEqual([0])
  expect(store.query(todos.count())).toBe(1)
  store.manualRefresh()
  expect(seen).toEqual([0, 1])
})

test('the next commit tells what was skipped, if it changes the same', async () => {
  const store = await open()
  const seen = follow(store, todos.count())
  store.commit({ skipRefresh: true }, created('a'))
  store.commit(noted({ id: 'n' }))
  expect(seen).toEqual([0])
  store.commit(created('b'))
  expect(seen).toEqual([0, 2])
})

test('what is thrown by the first call of a follower comes to who subscribes', async () => {
  const store = await open()
  const follower = () => {
    throw new Error('follower')
  }
  expect(thrown(() => store.subscribe(todos.count(), follower))).toMatch(/follower/)
})

// What differs.

const failing: Array<[string, (store: any) => unknown, RegExp]> = [
  ['a materializer that throws', (store) => store.commit(created('b'), events.failed({})), /v1\.Failed.*this one always fails/],
  ['a constraint', (store) => store.commit(created('b'), created('a')), /UNIQUE constraint failed: todos\.id/],
  ['an unknown event', (store) => store.commit(created('b'), { name: 'v1.Unheard', args: {} }), /the schema has no event v1\.Unheard/],
  ['wrong arguments', (store) => store.commit({ name: 'v1.Created', args: { id: 5 } }), /Invalid event args for event 'v1\.Created'/],
  ['no event at all', (store) => store.commit(42), /this is no event: 42/],
  ['a list', (store) => store.commit([created('b')]), /this is no event but a list: spread it/],
]
different('failed-commits-throw', {
  livestore: async () => {
    for (const [what, commit] of failing) {
      const store = await open()
      store.commit(created('a'))
      expect([what, await failsSilently(store, () => commit(store))]).toEqual([what, true])
    }
  },
  ours: async () => {
    const store = await open()
    store.commit(created('a'))
    const seen = follow(store, todos.count())
    for (const [, commit, reason] of failing) {
      expect(thrown(() => commit(store))).toMatch(reason)
      expect(ids(store, todos)).toBe('a')
    }
    expect(seen).toEqual([1])
    let error: any
    try {
      store.commit(events.failed({}))
    } catch (thrown) {
      error = thrown
    }
    expect(error).toMatchObject({ _tag: 'MaterializeError', event: 'v1.Failed' })
    expect(error.cause).toBeInstanceOf(RangeError)
  },
})

const collect = (commit: (...events: unknown[]) => void) => {
  commit(created('a'))
  commit(created('b'), created('c'))
}
different('commits-with-a-function', {
  livestore: async () => {
    const store = await open()
    expect(thrown(() => store.commit(collect))).toMatch(/reading 'push'/)
    expect(ids(store, todos)).toBe('')
    expect(await failsSilently(store, () => store.commit({ label: 'x' }, collect))).toBe(true)
  },
  ours: async () => {
    const store = await open()
    const seen = follow(store, todos.count())
    store.commit(collect)
    expect(seen).toEqual([0, 3])
    store.commit({ label: 'x' }, (commit: any) => commit(created('d')))
    expect(ids(store, todos)).toBe('abcd')
    const fails = (commit: any) => {
      commit(created('e'))
      throw new Error('no')
    }
    expect(thrown(() => store.commit(fails))).toBe('no')
    expect(ids(store, todos)).toBe('abcd')
  },
})

different('commits-return-receipts', {
  livestore: async () => {
    const store = await open()
    expect(store.commit(created('a'))).toBeUndefined()
  },
  ours: async () => {
    const store = await open()
    expect(await store.commit(created('a')).persisted).toBe('memory')
  },
})

const committing = (store: any) => computed(() => (store.commit(created('a')), 'done'))
different('commits-in-computations', {
  livestore: async () => {
    const store = await open()
    expect(store.query(committing(store))).toBe('done')
    expect(ids(store, todos)).toBe('a')
  },
  ours: async () => {
    const store = await open()
    expect(thrown(() => store.query(committing(store)))).toMatch(/commit is not possible while a query is computed/)
    expect(ids(store, todos)).toBe('')
  },
})

const refreshedTwice = async () => {
  const store = await open()
  const seen = follow(store, todos.count())
  store.commit({ skipRefresh: true }, created('a'))
  store.manualRefresh()
  store.manualRefresh()
  return seen
}
different('manual-refresh-once', {
  livestore: async () => {
    expect(await refreshedTwice()).toEqual([0, 1, 1])
  },
  ours: async () => {
    expect(await refreshedTwice()).toEqual([0, 1])
  },
})

const withThrower = async () => {
  const store = await open()
  store.subscribe(todos.count(), (count: number) => {
    if (count > 0) throw new Error('follower')
  })
  return { store, seen: follow(store, todos.count()) }
}
different('followers-that-throw', {
  livestore: async () => {
    const { store, seen } = await withThrower()
    expect(await failsSilently(store, () => store.commit(created('a')))).toBe(true)
    expect(seen).toEqual([0])
  },
  ours: async () => {
    const reported = vi.spyOn(console, 'error').mockImplementation(() => {})
    const { store, seen } = await withThrower()
    store.commit(created('a'))
    expect(seen).toEqual([0, 1])
    expect(reported).toHaveBeenCalledOnce()
    expect(isShutDown(store)).toBe(false)
  },
})

const withBroken = async () => {
  const store = await open()
  const count$ = queryDb(todos.count())
  const broken$ = computed((get) => {
    const count = get(count$)
    if (count === 1) throw new Error('broken')
    return count
  })
  return { store, seen: follow(store, broken$) }
}
different('computations-that-throw', {
  livestore: async () => {
    const { store } = await withBroken()
    expect(await failsSilently(store, () => store.commit(created('a')))).toBe(true)
  },
  ours: async () => {
    const reported = vi.spyOn(console, 'error').mockImplementation(() => {})
    const { store, seen } = await withBroken()
    store.commit(created('a'))
    expect(reported).toHaveBeenCalledOnce()
    store.commit(created('b'))
    expect(seen).toEqual([0, 2])
  },
})

const nested = async () => {
  const store = await open()
  const seen: string[] = []
  store.subscribe(todos.count(), (count: number) => {
    seen.push(`first ${count}`)
    if (count === 1) store.commit(created('b'))
  })
  store.subscribe(todos.count(), (count: number) => seen.push(`second ${count}`))
  seen.length = 0
  store.commit(created('a'))
  return seen
}
different('nested-commits', {
  livestore: async () => {
    expect(await nested()).toEqual(['first 1', 'first 2', 'second 2', 'second 2'])
  },
  ours: async () => {
    expect(await nested()).toEqual(['first 1', 'second 2', 'first 2'])
  },
})

const undefinedFirst = async () => {
  const store = await open()
  const why = thrown(() => store.commit(undefined, created('a')))
  return [why.split('\n')[0], ids(store, todos)]
}
different('undefined-before-events', {
  livestore: async () => {
    expect(await undefinedFirst()).toEqual(['', ''])
  },
  ours: async () => {
    expect(await undefinedFirst()).toEqual(['this is no event: undefined; call an event definition to make one', ''])
  },
})
