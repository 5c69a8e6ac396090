import * as React from 'react'

type Tracked<T> = Promise<T> & { status?: 'pending' | 'fulfilled' | 'rejected'; value?: T; reason?: unknown }

// Asked for by name, since bundlers look for what React 18 does not have.
const use = Reflect.get(React, 'use') as (<T>(promise: Promise<T>) => T) | undefined

/** Suspends until a promise has come to something. */
export const usePromise = <T>(promise: Promise<T>): T => (use === undefined ? suspend(promise) : use(promise))

/** What `use` does, for React 18. */
const suspend = <T>(promise: Tracked<T>): T => {
  switch (promise.status) {
    case 'fulfilled':
      return promise.value as T
    case 'rejected':
      throw promise.reason
    case 'pending':
      throw promise
    default:
      promise.status = 'pending'
      promise.then(
        (value) => void Object.assign(promise, { status: 'fulfilled', value }),
        (reason: unknown) => void Object.assign(promise, { status: 'rejected', reason }),
      )
      throw promise
  }
}
