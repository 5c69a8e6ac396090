import * as Namespace from './effect-namespace.js'

import { enterEffect } from './codec.js'
import { effectSupport } from './effect-support.js'

enterEffect(effectSupport)

// A variable of this module, so that whoever uses `Schema` has this module with what it does above, and whoever
// does not has neither it nor Effect.
export import Schema = Namespace
