/** Exposes two functions over the default UNIX socket. Start it first; it has the controller, too. */
import { callback, Global } from 'daffi'

export const hello = callback(function hello(name: string) {
  return `Hello, ${name}! This is process ${process.pid}.`
})

export const add = callback('add', async (a: number, b: number) => a + b)

await new Global({ processName: 'worker', initController: true }).join()
