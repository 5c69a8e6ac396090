/** Returns how long a function takes, in ms. */
export const timed = (run: () => void): number => {
  const start = performance.now()
  run()
  return performance.now() - start
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

/** Lets run what was put off, until that is done. */
export const settle = async (isDone: () => boolean): Promise<void> => {
  await pause(20)
  for (let waited = 0; !isDone(); waited++) {
    if (waited > 3000) throw new Error('what was put off takes more than 30 s')
    await pause(10)
  }
  await pause(20)
}

/** Collects garbage, so that nobody pays for another's. */
export const collectGarbage = (): void => {
  ;(globalThis as { gc?: () => void }).gc?.()
}

export const median = (numbers: number[]): number => {
  const sorted = [...numbers].sort((left, right) => left - right)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

export const assert = (holds: boolean, what: string): void => {
  if (!holds) throw new Error(`this does not hold: ${what}`)
}
