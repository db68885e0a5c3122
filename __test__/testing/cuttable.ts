import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { join } from 'node:path'
import type { ExecutionContext } from 'ava'
import type { Global } from 'daffi'
import { folder, type Place } from '../helpers/process.js'

/** A way to a controller that can be cut. */
export interface Cut {
  readonly place: Place
  cut(): void
  mend(): void
}

/** Opens a second address for a controller. While it is cut, who connects there is cut off again. */
export async function startCut(
  t: ExecutionContext,
  { port, unixSock }: Pick<Global, 'port' | 'unixSock'>,
): Promise<Cut> {
  const sockets = new Set<Socket>()
  let isCut = false
  const server = createServer((near) => {
    const far = unixSock === null ? connect({ host: '127.0.0.1', port: port as number }) : connect(unixSock)
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(one)
      one.on('error', () => other.destroy()).on('close', () => other.destroy() && sockets.delete(one))
      one.pipe(other)
    }
    if (isCut) cutAll()
  })
  const cutAll = (): void => {
    for (const socket of sockets) socket.destroy()
  }
  const path = unixSock === null ? null : join(await folder(t), 'way.sock')
  if (path === null) server.listen(0, '127.0.0.1')
  else server.listen(path)
  t.teardown(() => {
    cutAll()
    server.close()
  })
  await new Promise((resolve) => server.once('listening', resolve))
  return {
    place: path === null ? { host: '127.0.0.1', port: (server.address() as AddressInfo).port } : { unixSockPath: path },
    cut: () => {
      isCut = true
      cutAll()
    },
    mend: () => {
      isCut = false
    },
  }
}
