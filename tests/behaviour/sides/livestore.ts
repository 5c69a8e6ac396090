/** LiveStore 0.4.0, as its users have it in Node. */
import { makeAdapter as makeNodeAdapter } from '@livestore/adapter-node'

export const side: 'livestore' | 'ours' = 'livestore'

export const makeAdapter = (options: { clientId?: string } = {}) =>
  makeNodeAdapter({ storage: { type: 'in-memory' }, ...options })
