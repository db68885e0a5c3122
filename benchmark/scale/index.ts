import { callers } from './callers.js'
import { connections } from './connections.js'
import type { Curve } from './curve.js'
import { length } from './length.js'
import { payload } from './payload.js'
import { registry } from './registry.js'

/** Every curve, in the order of the report. */
export const curves: readonly Curve[] = [callers, connections, registry, payload, length]
