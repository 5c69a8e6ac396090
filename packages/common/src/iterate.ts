/** Where values come from: is given what to call for each, and at the end; returns what stops it. */
type Source<T> = (tell: (read: () => T) => void, end: () => void) => () => void

/** Iterates over values in the order in which they come, from the first `next` on; whoever is slow misses none. */
export const iterate = <T>(source: Source<T>): AsyncIterableIterator<T> => {
  let stop: (() => void) | undefined
  const values: T[] = []
  let failure: { readonly error: unknown } | undefined
  let isOver = false
  let wake = () => {}
  const tell = (read: () => T) => {
    try {
      values.push(read())
    } catch (error) {
      failure = { error }
    }
    wake()
  }
  const end = () => {
    isOver = true
    wake()
  }
  const next = async (): Promise<IteratorResult<T>> => {
    if (stop === undefined && !isOver) stop = source(tell, end)
    while (true) {
      if (values.length > 0) return { done: false, value: values.shift() as T }
      if (failure !== undefined) {
        const { error } = failure
        failure = undefined
        stop?.()
        throw error
      }
      if (isOver) return { done: true, value: undefined }
      await new Promise<void>((resolve) => (wake = resolve))
    }
  }
  const close = async (): Promise<IteratorResult<T>> => {
    values.length = 0
    stop?.()
    end()
    return { done: true, value: undefined }
  }
  const iterator: AsyncIterableIterator<T> = { next, return: close, [Symbol.asyncIterator]: () => iterator }
  return iterator
}
