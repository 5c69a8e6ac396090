// LiveStore's own backend, unmodified, as an app would deploy it.

import { makeDurableObject, makeWorker } from '@livestore/sync-cf/cf-worker'
import { env } from 'cloudflare:workers'

export class SyncBackendDO extends makeDurableObject({ enabledTransports: new Set(['ws', 'http']) }) {}

export default makeWorker({
  syncBackendBinding: 'SYNC_BACKEND_DO',
  validatePayload: (payload) => {
    if (env.TOKEN && payload?.authToken !== env.TOKEN) throw new Error('not the right token')
  },
})
