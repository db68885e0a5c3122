// Runs the main job: two processes, and a function of the second executed in the first. Ends by itself, with code 0
// only when the process id that came back is the first one's.
import { spawn } from 'node:child_process'
import { connect, createServer } from 'node:net'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { root } from './root.mjs'
import { environment } from './run.mjs'
import { main, setup } from './setup.mjs'

const FOLDER = 'examples/transfer-and-call'
const PORT = 8888
/** Everything takes well under a second; a slow machine gets plenty. */
const LIMIT_MS = 60_000

await main(async () => {
  await setup()
  const port = await freePort()
  const started = []
  const overdue = setTimeout(() => {
    console.log(`demo: still not done after ${LIMIT_MS / 1000} s`)
    for (const child of started) child.kill('SIGKILL')
  }, LIMIT_MS)
  try {
    const first = start('process 1', 'process1.ts', port)
    started.push(first)
    await listens(port, first)
    if (!first.isAlive()) return verdict('never started', undefined, first.pid)
    const second = start('process 2', 'process2.ts', port)
    started.push(second)
    const code = await second.ended
    const answer = /pid: (\d+)/.exec(second.output())?.[1]
    first.kill('SIGTERM')
    await Promise.race([first.ended, sleep(5000, undefined, { ref: false })])
    return verdict(code, answer, first.pid)
  } finally {
    clearTimeout(overdue)
    for (const child of started) child.kill('SIGKILL')
  }
})

function verdict(code, answer, pid) {
  if (code === 0 && Number(answer) === pid) {
    console.log(`demo: process 2 was told ${answer}, which is the process id of process 1. Done.`)
    return 0
  }
  console.log(`demo: process 2 ended with ${code} and printed ${answer ?? 'no process id'}; process 1 is ${pid}.`)
  return 1
}

function start(name, file, port) {
  const child = spawn(process.execPath, ['--import=tsx', `${FOLDER}/${file}`], {
    cwd: root,
    env: environment({ DAFFI_PORT: String(port) }),
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  console.log(`${name} │ started, process id ${child.pid}`)
  let output = ''
  for (const input of [child.stdout, child.stderr]) {
    createInterface({ input }).on('line', (line) => {
      output += `${line}\n`
      console.log(`${name} │ ${line}`)
    })
  }
  const ended = new Promise((settle) => {
    child.on('close', (code, signal) => {
      console.log(`${name} │ ended (${signal ?? `exit code ${code}`})`)
      settle(code ?? signal)
    })
  })
  const isAlive = () => child.exitCode === null && child.signalCode === null
  return { pid: child.pid, ended, isAlive, output: () => output, kill: (signal) => isAlive() && child.kill(signal) }
}

/** Waits until somebody listens on `port`, so that the lines of the two processes come in the order of the story. */
async function listens(port, owner) {
  while (owner.isAlive() && !(await accepts(port))) await sleep(20)
}

function accepts(port) {
  return new Promise((settle) => {
    const socket = connect({ port, host: 'localhost' })
    socket.on('connect', () => settle(true)).on('error', () => settle(false))
    socket.on('connect', () => socket.destroy())
  })
}

/** The port of the example, or any other when somebody has it. */
async function freePort() {
  if (!(await accepts(PORT)) && (await portOf(PORT)) === PORT) return PORT
  const port = await portOf(0)
  console.log(`demo: port ${PORT} is taken, using ${port} (DAFFI_PORT)`)
  return port
}

/** The port that listening on `port` gives, or null when it is taken. */
function portOf(port) {
  return new Promise((settle) => {
    const server = createServer()
    server.on('error', () => settle(null))
    server.listen(port, 'localhost', () => {
      const own = server.address().port
      server.close(() => settle(own))
    })
  })
}
