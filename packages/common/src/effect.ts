/** Lets schemas be used that come from `effect` itself. */
import { enterEffect } from './codec.js'
import { effectSupport } from './effect-support.js'

enterEffect(effectSupport)
