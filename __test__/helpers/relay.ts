import { connect, createServer, type AddressInfo } from 'node:net'
import type { ExecutionContext } from 'ava'
import type { Place } from './process.js'

/** A relay in front of a TCP controller that counts what a node sends. */
export interface Relay {
  readonly at: Place
  readonly sent: () => number
}

export async function startRelay(t: ExecutionContext, to: Place): Promise<Relay> {
  let bytes = 0
  const server = createServer((near) => {
    const far = connect({ host: '127.0.0.1', port: to.port as number })
    near.on('data', (chunk) => {
      bytes += chunk.length
    })
    near.on('error', () => far.destroy()).on('close', () => far.destroy())
    far.on('error', () => near.destroy()).on('close', () => near.destroy())
    near.pipe(far).pipe(near)
  })
  server.listen(0, '127.0.0.1')
  t.teardown(() => server.close())
  await new Promise((settle) => server.once('listening', settle))
  return { at: { host: '127.0.0.1', port: (server.address() as AddressInfo).port }, sent: () => bytes }
}
