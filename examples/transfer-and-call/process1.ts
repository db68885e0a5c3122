/** Process 1: a controller and a node, waiting for work. Start it first. */
import { Global } from 'daffi'

await new Global({
  processName: 'other_process',
  initController: true,
  host: 'localhost',
  port: Number(process.env.DAFFI_PORT ?? 8888),
}).join()
