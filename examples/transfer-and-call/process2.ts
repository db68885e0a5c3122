/** Process 2: sends a function to process 1, runs it there and prints the result. */
import { Global } from 'daffi'

/** Returns the process id of the remote process. */
async function funcToTransfer(): Promise<number> {
  const { pid } = await import('node:process')

  return pid
}

await using g = await Global.start({ host: 'localhost', port: Number(process.env.DAFFI_PORT ?? 8888) })
await g.waitProcess('other_process', { timeout: '10s' })

const remotePid = await g.transferAndCall('other_process', funcToTransfer)
console.log(`Remote process pid: ${remotePid}`)
