import { test } from 'vitest'

import { side } from '#side'
import { type DifferenceId, differences } from './differences.js'

type Run = () => void | Promise<void>

/** A test of a difference that is on the list: what each side does is asserted there. */
export const different = (id: DifferenceId, run: { readonly livestore: Run; readonly ours: Run }): void => {
  const difference = differences.find((one) => one.id === id)
  if (difference === undefined) throw new Error(`the list of differences has no ${id}`)
  test(`[${id}] ${difference[side]}`, run[side])
}
