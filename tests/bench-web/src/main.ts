import * as ourAdapter from '@livestore-rs/adapter-web'
import * as ours from '@livestore-rs/livestore'
import * as theirs from 'livestore-0.4'
import * as theirAdapter from 'livestore-0.4-adapter-web'

import { type App, type AppStore, makeApp } from './app.js'
import { type Case, CASES } from './cases.js'
import { collectGarbage, median, settle } from './clock.js'

interface Side {
  readonly app: App
  /** Tells whether a store has done all that it had put off. */
  readonly isDone: (store: AppStore) => boolean
}

const SIDES = {
  // What waits for a backend is no work.
  ours: { app: makeApp({ ...ours, ...ourAdapter }), isDone: () => true },
  theirs: { app: makeApp({ ...theirs, ...theirAdapter }), isDone: (store) => store.syncStatus().pendingCount === 0 },
} satisfies Record<string, Side>

/** Measures a case on one side, in a store of its own; returns µs. */
const measure = async ({ prepare }: Case, { app, isDone }: Side): Promise<number> => {
  const store = await app.open()
  const { times, run } = await prepare({ app, store, settle: () => settle(() => isDone(store)) })
  collectGarbage()
  const ms = await run()
  await store.shutdownPromise()
  await settle(() => true)
  return (1000 * ms) / times
}

/** Measures our side alone, for a profile of it. */
const runOurs = async (name: string, rounds: number): Promise<number> => {
  const times: number[] = []
  while (times.length < rounds) times.push(await measure(caseOf(name), SIDES.ours))
  return median(times)
}

const caseOf = (name: string): Case => {
  const found = CASES[name]
  if (found === undefined) throw new Error(`there is no case ${name}`)
  return found
}

/** Measures a case on both sides by turns; returns medians in µs. */
const runCase = async (name: string, quick: boolean) => {
  const found = caseOf(name)
  const rounds = quick ? found.rounds.quick : found.rounds.full
  const times: Record<keyof typeof SIDES, number[]> = { ours: [], theirs: [] }
  for (let round = 0; round < rounds; round++) {
    const order = round % 2 === 0 ? (['ours', 'theirs'] as const) : (['theirs', 'ours'] as const)
    for (const side of order) times[side].push(await measure(found, SIDES[side]))
  }
  const value = median(times.ours)
  const livestore = median(times.theirs)
  return { value, unit: 'us', livestore, ratio: livestore / value, demanded: found.demanded, rounds: times }
}

/** Runs what all cases use until the browser has compiled it. */
const warmUp = async (): Promise<void> => {
  for (const name of ['commit_loop_100', 'commit_batch_1000', 'live_list_10k_update', 'query_point_cached']) {
    for (const side of Object.values(SIDES)) await measure(caseOf(name), side)
  }
}

const bench = { names: Object.keys(CASES), warmUp, runCase, runOurs }
export type Bench = typeof bench
Object.assign(globalThis, { bench })
