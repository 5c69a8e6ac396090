import type { App, AppStore } from './app.js'
import { assert, timed } from './clock.js'

/** A new store of one side. */
export interface Bench {
  readonly app: App
  readonly store: AppStore
  /** Lets run what the store has put off. */
  readonly settle: () => Promise<void>
}

/** What is measured, when all that it needs is there. */
interface Prepared {
  /** How often it does what the case is about. */
  readonly times: number
  /** Returns how long it took, in ms. */
  readonly run: () => number | Promise<number>
}

export interface Case {
  /** How many times as fast as LiveStore we have to be. */
  readonly demanded: number
  readonly rounds: { readonly full: number; readonly quick: number }
  readonly prepare: (bench: Bench) => Prepared | Promise<Prepared>
}

const LIVE_QUERIES = 1000
const ROWS = 10_000

/** Commits a new todo, and reads it. */
const commitAndRead = ({ app: { events, todos }, store }: Bench, at: number): void => {
  const id = `id-${at}`
  store.commit(events.created({ id, text: `to be done as number ${at}`, position: at }))
  assert(store.query(todos.where({ id }).first())?.position === at, 'what was committed is read')
}

const commitLoop = (times: number, rounds: Case['rounds']): Case => ({
  demanded: 10,
  rounds,
  prepare: (bench) => ({
    times,
    run: () =>
      timed(() => {
        for (let at = 0; at < times; at++) commitAndRead(bench, at)
      }),
  }),
})

/** Commits with time between them, in which LiveStore does what it has put off; that is not counted. */
const commitsApart: Case = {
  demanded: 1,
  rounds: { full: 5, quick: 2 },
  prepare: (bench) => ({
    times: 20,
    run: async () => {
      let total = 0
      for (let at = 0; at < 20; at++) {
        total += timed(() => commitAndRead(bench, at))
        await bench.settle()
      }
      return total
    },
  }),
}

const commitBatch: Case = {
  demanded: 1,
  rounds: { full: 5, quick: 2 },
  prepare: ({ app: { events, todos }, store }) => ({
    times: 1,
    run: () =>
      timed(() => {
        const all = Array.from({ length: 1000 }, (_, at) =>
          events.created({ id: `id-${at}`, text: `to be done as number ${at}`, position: at }),
        )
        store.commit(...all)
        assert(store.query(todos.count()) === 1000, 'all of it was committed')
      }),
  }),
}

const fill = async ({ app: { events }, store, settle }: Bench, count: number): Promise<void> => {
  store.commit(events.filled({ count }))
  await settle()
}

/** Commits to a store with many followers, each of one row, and looks at what they were told. */
const livePoints: Case = {
  demanded: 10,
  rounds: { full: 5, quick: 2 },
  prepare: async (bench) => {
    const { app: { events, queryDb, todos }, store, settle } = bench
    await fill(bench, LIVE_QUERIES)
    const told: Array<string | undefined> = []
    for (let at = 0; at < LIVE_QUERIES; at++) {
      const row$ = queryDb(todos.where({ id: `t${at}` }), { label: `row ${at}` })
      store.subscribe(row$, (rows) => {
        told[at] = rows[0]?.text
      })
    }
    const rename = (at: number) => {
      const text = `renamed, ${at}`
      store.commit(events.renamed({ id: `t${at}`, text }))
      assert(told[at] === text, 'the follower of the row was told')
    }
    rename(LIVE_QUERIES - 1)
    await settle()
    return {
      times: 20,
      run: () => {
        const ms = timed(() => {
          for (let at = 0; at < 20; at++) rename(at * 40)
        })
        const rows = store.query(todos.orderBy('position', 'asc'))
        assert(rows.every((row, at) => told[at] === row.text), 'all followers are up to date')
        return ms
      },
    }
  },
}

const followPoints: Case = {
  demanded: 1,
  rounds: { full: 5, quick: 2 },
  prepare: async (bench) => {
    const { app: { queryDb, todos }, store } = bench
    await fill(bench, LIVE_QUERIES)
    return {
      times: LIVE_QUERIES,
      run: () => {
        let calls = 0
        const ms = timed(() => {
          for (let at = 0; at < LIVE_QUERIES; at++) {
            store.subscribe(queryDb(todos.where({ id: `t${at}` }), { label: `row ${at}` }), () => calls++)
          }
        })
        assert(calls === LIVE_QUERIES, 'each was told its first value')
        return ms
      },
    }
  },
}

const ordered = ({ app: { queryDb, todos } }: Bench) => queryDb(todos.orderBy('position', 'asc'), { label: 'list' })

const listLoad: Case = {
  demanded: 1,
  rounds: { full: 11, quick: 5 },
  prepare: async (bench) => {
    await fill(bench, ROWS)
    return {
      times: 1,
      run: () => {
        let length = 0
        const ms = timed(() => {
          bench.store.subscribe(ordered(bench), (rows) => {
            length = rows.length
          })
        })
        assert(length === ROWS, 'the list has all rows')
        return ms
      },
    }
  },
}

type Rows = ReadonlyArray<{ readonly id: string; readonly text: string }>

/** Commits to a store with a live list, and looks at the list each time. */
const listChange = (change: (bench: Bench, at: number) => (rows: Rows) => boolean): Case => ({
  demanded: 10,
  rounds: { full: 5, quick: 2 },
  prepare: async (bench) => {
    await fill(bench, ROWS)
    let told: Rows = []
    bench.store.subscribe(ordered(bench), (rows) => {
      told = rows
    })
    const one = (at: number) => {
      const isThere = change(bench, at)
      assert(isThere(told), 'the list is up to date')
    }
    one(0)
    await bench.settle()
    return {
      times: 10,
      run: () =>
        timed(() => {
          for (let at = 1; at <= 10; at++) one(at)
        }),
    }
  },
})

const listUpdate = listChange(({ app: { events }, store }, at) => {
  const text = `renamed, ${at}`
  store.commit(events.renamed({ id: `t${at * 900}`, text }))
  return (rows) => rows.length === ROWS && rows[at * 900]!.text === text
})

const listInsert = listChange(({ app: { events }, store }, at) => {
  const id = `new-${at}`
  // From the end to the beginning, so that none moves the place of another.
  const before = 9900 - at * 900
  store.commit(events.created({ id, text: 'new', position: 10 * before - 5 }))
  return (rows) => rows.length === ROWS + at + 1 && rows[before]!.id === id
})

/** Reads that have been made before. */
const cachedPoints: Case = {
  demanded: 1,
  rounds: { full: 9, quick: 5 },
  prepare: async (bench) => {
    const { app: { todos }, store } = bench
    await fill(bench, ROWS)
    const queries = Array.from({ length: 100 }, (_, at) => ({ id: `t${at * 90}`, query: todos.where({ id: `t${at * 90}` }).first() }))
    const readAll = () => {
      for (const { id, query } of queries) assert(store.query(query)?.id === id, 'the row is read')
    }
    readAll()
    readAll()
    return { times: 100, run: () => timed(readAll) }
  },
}

/** Reads of queries that the app builds each time. */
const builtPoints: Case = {
  demanded: 1,
  rounds: { full: 9, quick: 5 },
  prepare: async (bench) => {
    const { app: { todos }, store } = bench
    await fill(bench, ROWS)
    const readAll = (shift: number) => {
      for (let at = 0; at < 100; at++) {
        const id = `t${at * 90 + shift}`
        assert(store.query(todos.where({ id }).first())?.id === id, 'the row is read')
      }
    }
    readAll(0)
    return { times: 100, run: () => timed(() => readAll(1)) }
  },
}

const createStore: Case = {
  demanded: 1,
  rounds: { full: 9, quick: 5 },
  prepare: ({ app }) => ({
    times: 1,
    run: async () => {
      const start = performance.now()
      const store = await app.open()
      const ms = performance.now() - start
      await store.shutdownPromise()
      return ms
    },
  }),
}

export const CASES: Readonly<Record<string, Case>> = {
  commit_loop_100: commitLoop(100, { full: 11, quick: 5 }),
  commit_loop_1000: commitLoop(1000, { full: 3, quick: 1 }),
  commits_apart: commitsApart,
  commit_batch_1000: commitBatch,
  live_point_1000: livePoints,
  live_point_1000_follow: followPoints,
  live_list_10k_load: listLoad,
  live_list_10k_update: listUpdate,
  live_list_10k_insert: listInsert,
  query_point_cached: cachedPoints,
  query_point_built: builtPoints,
  create_store: createStore,
}
