/** The addon as the layers above use it. */
import { errorFromWire } from '../errors.js'
import type { Failure, NodeDto } from './binding.cjs'
import { NativeLink } from './link.js'
import type { ControllerHandle, ControllerOptions, Link, LinkEvents, LinkOptions, Serve } from './link-types.js'
import { binding } from './load.js'
import { NativeControllerHandle } from './native-controller.js'

/**
 * Starts a controller in this process.
 *
 * @throws {InitializationError} The address cannot be had; the message says why and what to do.
 * @throws {UnauthorizedError} It may not listen there without credentials.
 */
export async function startController(options: ControllerOptions): Promise<ControllerHandle> {
  const started = await binding().startController({
    address: options.address,
    cookiePath: options.address.path === null ? options.cookiePath : null,
    token: options.token,
    grants: options.grants,
    tls: options.tls,
    allowRemote: options.token !== null || options.tls?.requestCert === true,
    handshakeTimeoutMs: options.handshakeMs,
    heartbeatMs: options.heartbeatMs,
    deadMs: options.deadMs,
    maxPayload: options.limits.maxPayload,
    outboundSoft: options.limits.outboundSoftBytes,
    outboundHard: options.limits.outboundHardBytes,
    maxConnections: options.limits.maxConnections,
    maxPerAddress: options.limits.maxPerAddress,
    maxUnauthenticated: options.limits.maxUnauthenticated,
  })
  if (isFailure(started))
    throw errorFromWire(started.code, { message: started.message, starting: true, executed: null })
  return new NativeControllerHandle(started)
}

/** Opens the connection of a node; it is made in the background. */
export function openLink(options: LinkOptions, events: LinkEvents, serve: Serve): Link {
  const native = binding()
  const node: NodeDto = {
    name: options.name,
    address: options.address,
    cookiePath: options.address.path === null ? options.cookiePath : null,
    token: options.token,
    tls: options.tls,
    connectTimeoutMs: options.connectTimeoutMs === 0 ? null : options.connectTimeoutMs,
    handshakeTimeoutMs: options.handshakeMs,
    reconnectMinMs: options.reconnect.minMs,
    reconnectMaxMs: options.reconnect.maxMs,
    maxPayload: options.limits.maxPayload,
    inboundBytes: options.limits.maxInboundBytes,
    outboundSoft: options.limits.outboundSoftBytes,
    inline: options.inline,
  }
  const controller = options.controller === null ? null : (options.controller as NativeControllerHandle).native
  const open = (doorbell: () => void) => {
    const opened = native.openNode(node, controller, doorbell)
    if (isFailure(opened)) throw errorFromWire(opened.code, { message: opened.message, starting: true })
    return opened
  }
  return new NativeLink(open, native.DRAIN_BYTES, options, events, serve)
}

function isFailure(outcome: object): outcome is Failure {
  return 'message' in outcome
}
