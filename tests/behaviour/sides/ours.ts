/** The packages of this repository. */
import { makeInMemoryAdapter } from '@livestore/adapter-web'

export const side: 'livestore' | 'ours' = 'ours'

export const makeAdapter = (options: { clientId?: string } = {}) => makeInMemoryAdapter(options)
