/**
 * Runs real processes under mixed calls for some minutes and tells what grows: `npm run soak -- [minutes]`, 10 by
 * default. The last line is `result` with all figures as JSON; the exit code says whether they hold.
 *
 * 500 calls a second from one process to three: FG, BG with and without result, BROADCAST, STREAM both ways, PERIOD; one
 * in a hundred fails, one in a hundred times out. Once a minute all connections of the caller and of one node break.
 */
import { spawn } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

const CALLS_A_SECOND = 500
/** Between two looks at all processes. */
const LOOK_MS = 10_000
/** Of each minute, when the connections break: between two looks. */
const BREAK_AT_MS = 35_000
/** How long after a break calls may fail because of it. */
const BREAK_MS = 3000
const TIMEOUT_MS = 100
/** How often a process looks at its memory, and the pause between. */
const RSS_LOOKS = 8
const RSS_PAUSE_MS = 150
/** The heap is measured behind a collection; a young generation that V8 lets grow and shrink would hide what is ours. */
const NODE_ARGUMENTS = ['--expose-gc', '--max-semi-space-size=1']
const MIB = 2 ** 20

/** What comes and goes with the calls, and with the lines that are printed: no handles. */
const PASSING = new Set(['Timeout', 'Immediate', 'WriteWrap'])

/** Figures that hold from the end of the warm-up on (RELIABILITY L3): slopes of the long run, growth of the short one. */
const LIMITS = { rssSlope: 0.5, heapSlope: 0.1, rssGrowth: 8 }

/** Starts all, looks at them until the time is over, and gives the exit code. */
async function soak(minutes) {
  if (!(minutes >= 1)) throw new Error('soak: give the minutes, one at least')
  const { setup } = await import('./setup.mjs')
  await setup('all')
  const home = await mkdtemp(join(tmpdir(), 'daffi-soak-'))
  const children = []
  const start = async (name, options) => {
    const child = new Child(name, options, home)
    children.push(child)
    return { child, at: JSON.parse(await child.line('ready')) }
  }
  try {
    const { at } = await start('controller', { initController: true, initNode: false, host: 'localhost', port: 0 })
    const relay = await startRelay(at)
    await start('node', { ...relay.at, processName: 'w1' })
    for (const processName of ['w2', 'w3']) await start('node', { ...at, processName })
    const { child: caller } = await start('caller', { ...relay.at, processName: 'caller' })
    const result = await watch(children, caller, relay, minutes * 60_000)
    relay.close()
    console.log(`result ${JSON.stringify(result)}`)
    return result.wrong.length === 0 ? 0 : 1
  } finally {
    for (const child of children) child.kill()
    await Promise.all(children.map((child) => child.ended))
    await rm(home, { recursive: true, force: true })
  }
}

async function watch(children, caller, relay, totalMs) {
  const warmUpMs = totalMs >= 300_000 ? 120_000 : totalMs / 3
  const begun = performance.now()
  const looks = []
  let breaks = 0
  for (let next = LOOK_MS; next <= totalMs; next += LOOK_MS) {
    const breakAt = breaks * 60_000 + BREAK_AT_MS
    if (breakAt < next && breakAt < totalMs - BREAK_MS) {
      await sleep(breakAt - (performance.now() - begun))
      breaks++
      await caller.ask('breaking')
      relay.cut()
    }
    await sleep(next - (performance.now() - begun))
    const look = await Promise.all(children.map((child) => child.ask('look')))
    looks.push({ ms: next, look })
    tell(looks.at(-1), children)
  }
  const { outcomes, unexpected, unsettled } = await caller.ask('end')
  const left = await leftOver(children)
  const warm = looks.filter(({ ms }) => ms >= warmUpMs - LOOK_MS / 2)
  const processes = children.map((child, index) => figuresOf(child.name, warm, index))
  const result = { minutes: totalMs / 60_000, breaks, outcomes, unexpected, unsettled, left, processes }
  return { ...result, wrong: wrongOf(result) }
}

/** What grew in one process since the warm-up: memory in MiB, slopes in MiB a minute. */
function figuresOf(name, warm, index) {
  const of = (what) => warm.map(({ ms, look }) => [ms / 60_000, look[index][what]])
  const growth = (what) => of(what).at(-1)[1] - of(what)[0][1]
  return {
    name,
    rssGrowth: growth('rss') / MIB,
    rssSlope: slope(of('rss')) / MIB,
    heapGrowth: growth('heap') / MIB,
    heapSlope: slope(of('heap')) / MIB,
    fds: growth('fds'),
    threads: growth('threads'),
    handles: growth('handles'),
  }
}

/** Least squares. */
function slope(points) {
  const mean = (at) => points.reduce((sum, point) => sum + point[at], 0) / points.length
  const [x, y] = [mean(0), mean(1)]
  const spread = points.reduce((sum, point) => sum + (point[0] - x) ** 2, 0)
  return spread === 0 ? 0 : points.reduce((sum, point) => sum + (point[0] - x) * (point[1] - y), 0) / spread
}

function wrongOf({ minutes, unexpected, unsettled, left, processes }) {
  const wrong = [...left]
  if (Object.keys(unexpected).length > 0) wrong.push(`unexpected outcomes ${JSON.stringify(unexpected)}`)
  if (unsettled > 0) wrong.push(`${unsettled} calls did not end`)
  for (const { name, ...figures } of processes) {
    for (const what of ['fds', 'threads', 'handles']) {
      if (figures[what] !== 0) wrong.push(`${name}: ${what} ${figures[what]}`)
    }
    if (minutes < 5) {
      if (figures.rssGrowth > LIMITS.rssGrowth) wrong.push(`${name}: RSS grew by ${figures.rssGrowth} MiB`)
    } else {
      if (figures.rssSlope > LIMITS.rssSlope) wrong.push(`${name}: RSS grows by ${figures.rssSlope} MiB a minute`)
      if (figures.heapSlope > LIMITS.heapSlope) wrong.push(`${name}: heap grows by ${figures.heapSlope} MiB a minute`)
    }
  }
  return wrong
}

/** Counters that are not back to 0. */
async function leftOver(children) {
  const live = ['liveCalls', 'waitingCalls', 'runningCallbacks', 'openStreams', 'tasks', 'queuedBytes', 'liveBuffers']
  let left = []
  for (let turn = 0; turn < 100; turn++) {
    left = []
    for (const child of children) {
      const { controller, node } = (await child.ask('look')).stats
      const counters = { ...node, ...controller }
      for (const name of [...live, 'callsInFlight'])
        if (counters[name]) left.push(`${child.name}: ${name} ${counters[name]}`)
    }
    if (left.length === 0) break
    await sleep(20)
  }
  return left
}

function tell({ ms, look }, children) {
  const inFlight = look.reduce((sum, { stats }) => sum + (stats.node?.liveCalls ?? 0), 0)
  const memory = children.map(({ name }, index) => {
    const { fds, heap, rss, threads } = look[index]
    return `${name} ${(rss / MIB).toFixed(1)}/${(heap / MIB).toFixed(1)} MiB, ${fds} fds, ${threads} threads`
  })
  console.log(`${(ms / 1000).toFixed(0)} s: ${inFlight} calls under way; RSS/heap: ${memory.join(' · ')}`)
}

/** A process of the soak, spoken to in lines. */
class Child {
  #lines
  #waiting = []

  constructor(role, options, home) {
    this.name = role === 'node' ? options.processName : role
    const words = [...NODE_ARGUMENTS, fileURLToPath(import.meta.url), role, JSON.stringify(options)]
    const env = { ...process.env, HOME: home, DAFFI_COOKIE_FILE: join(home, 'cookie') }
    this.child = spawn(process.execPath, words, { stdio: ['pipe', 'pipe', 'inherit'], env })
    this.ended = new Promise((settle) => {
      this.child.on('exit', (code, signal) => {
        for (const { reject } of this.#waiting.splice(0)) reject(new Error(`${this.name} ended: ${signal ?? code}`))
        settle()
      })
    })
    this.#lines = createInterface({ input: this.child.stdout })
    this.#lines.on('line', (line) => {
      const at = this.#waiting.findIndex(({ start }) => line.startsWith(`${start} `))
      if (at >= 0) this.#waiting.splice(at, 1)[0].settle(line.slice(this.#startOf(line)))
    })
  }

  #startOf(line) {
    return line.indexOf(' ') + 1
  }

  line(start) {
    return new Promise((settle, reject) => this.#waiting.push({ start, settle, reject }))
  }

  async ask(word) {
    const answer = this.line(word)
    this.child.stdin.write(`${word}\n`)
    return JSON.parse(await answer)
  }

  kill() {
    if (this.child.exitCode === null && this.child.signalCode === null) this.child.kill('SIGKILL')
  }
}

/** Passes bytes on until it is told to break all connections. */
async function startRelay({ port }) {
  const sockets = new Set()
  const server = createServer((near) => {
    const far = connect({ host: '127.0.0.1', port })
    for (const [one, other] of [
      [near, far],
      [far, near],
    ]) {
      sockets.add(one)
      one.setNoDelay(true).pipe(other)
      one
        .on('error', () => undefined)
        .on('close', () => {
          sockets.delete(one)
          other.destroy()
        })
    }
  }).listen(0, '127.0.0.1')
  await new Promise((settle) => server.once('listening', settle))
  const cut = () => {
    for (const socket of [...sockets]) socket.destroy()
  }
  return {
    at: { host: 'localhost', port: server.address().port },
    cut,
    close() {
      server.close()
      cut()
    },
  }
}

/** What one of the processes does, until its input ends. */
async function play(kind, options) {
  const { callback, Global } = await import('daffi')
  if (kind === 'node') exposeAll(callback)
  const g = await Global.start(options)
  const load = kind === 'caller' ? await startLoad(g) : null
  const answers = {
    async look() {
      // A collection leaves pages behind that are given back a moment later: the least of some looks is what is held.
      let [heap, rss] = [Infinity, Infinity]
      for (let turn = 0; turn < RSS_LOOKS; turn++) {
        globalThis.gc()
        const used = process.memoryUsage()
        heap = Math.min(heap, used.heapUsed)
        rss = Math.min(rss, used.rss)
        await sleep(RSS_PAUSE_MS)
      }
      // Only Linux tells.
      const entries = (folder) => (existsSync('/proc/self') ? readdirSync(`/proc/self/${folder}`).length : 0)
      const handles = process.getActiveResourcesInfo().filter((name) => !PASSING.has(name)).length
      return { rss, heap, fds: entries('fd'), threads: entries('task'), handles, stats: g.stats() }
    },
    breaking: () => load.breaking(),
    end: () => load.end(),
  }
  createInterface({ input: process.stdin }).on('line', async (word) => {
    console.log(`${word} ${JSON.stringify(await answers[word]())}`)
  })
  process.stdin.once('end', () => process.exit(0))
  console.log(`ready ${JSON.stringify({ host: g.host, port: g.port })}`)
}

function exposeAll(callback) {
  let ticks = 0
  callback('add', (one, other) => one + other)
  callback('note', () => undefined)
  callback('fail', () => {
    throw new RangeError('on purpose')
  })
  callback('never', () => new Promise(() => undefined))
  callback('later', async (value) => {
    await sleep(5)
    return value
  })
  callback('range', function* range(count) {
    for (let at = 0; at < count; at++) yield { at, text: 'x'.repeat(100) }
  })
  callback('doubled', async function* doubled(items) {
    for await (const item of items) yield item * 2
  })
  callback('tick', () => void ticks++)
}

/** The calls; each has to end as it should, unless a connection has just broken. */
async function startLoad(g) {
  for (const name of ['w1', 'w2', 'w3']) {
    await g.waitProcess(name)
    while (!g.registeredCallbacks[name]?.includes('tick')) await sleep(10)
  }
  const outcomes = {}
  const unexpected = {}
  const count = (counts, what) => {
    counts[what] = (counts[what] ?? 0) + 1
  }
  let brokenAt = -Infinity
  let number = 0
  const underWay = new Set()
  const expect = (what, isRight) => {
    if (!isRight) throw Object.assign(new Error(what), { code: `wrong ${what}` })
  }
  const failsWith = async (call, code) => {
    try {
      await call
    } catch (error) {
      if (error.code === code) return
      throw error
    }
    expect(code, false)
  }
  const kinds = {
    FG: async (id) => expect('FG', (await g.call.add(id, 1)) === id + 1),
    BG: async (id) => expect('BG', (await g.call.later(id).bg()) === id),
    'BG without result': async (id) => await g.call.note(id).bg({ returnResult: false }),
    BROADCAST: async (id) => {
      const results = await g.call.add(id, 1).broadcast({ returnResult: true })
      // One node may be away.
      expect(
        'BROADCAST',
        Object.values(results).every((value) => value === id + 1),
      )
    },
    'STREAM read': async () => {
      let items = 0
      for await (const { at } of g.call.range(20).stream()) expect('STREAM', at === items++)
      expect('STREAM', items === 20)
    },
    'STREAM sent': async () => {
      let sum = 0
      for await (const item of g.call.doubled([1, 2, 3]).stream({ node: 'w2' })) sum += item
      expect('STREAM', sum === 12)
    },
    'STREAM left': async () => {
      for await (const _ of g.call.range(5000).stream()) break
    },
    PERIOD: async () => {
      const task = await g.call.tick().period({ interval: 50 })
      await sleep(200)
      // A task goes on without its owner: it has to be told, after a break, too.
      while (
        !(await task.cancel().then(
          () => true,
          (error) => error.executed === undefined,
        ))
      )
        await sleep(50)
    },
    error: () => failsWith(g.call.fail(), 'ERR_REMOTE_CALL'),
    timeout: () => failsWith(g.call.never().fg({ timeout: TIMEOUT_MS }), 'ERR_CALL_TIMEOUT'),
  }
  /** What of a hundred calls is of each kind. */
  const mix = Object.entries({
    FG: 50,
    BG: 15,
    'BG without result': 10,
    BROADCAST: 10,
    'STREAM read': 6,
    'STREAM sent': 3,
    'STREAM left': 2,
    PERIOD: 2,
    error: 1,
    timeout: 1,
  }).flatMap(([name, share]) => Array.from({ length: share }, () => name))
  const one = async (kind, id) => {
    const begun = performance.now()
    try {
      await kinds[kind](id)
      count(outcomes, kind)
    } catch (error) {
      const isBroken = performance.now() - brokenAt < BREAK_MS || (begun < brokenAt && brokenAt < performance.now())
      count(
        isBroken && String(error.code).startsWith('ERR_') ? outcomes : unexpected,
        `${kind}: ${error.code ?? error.message}`,
      )
    }
  }
  const begun = performance.now()
  const timer = setInterval(() => {
    const due = ((performance.now() - begun) * CALLS_A_SECOND) / 1000
    while (number < due) {
      const id = number++
      const call = one(mix[(id * 37) % mix.length], id)
      underWay.add(call)
      void call.finally(() => underWay.delete(call))
    }
  }, 2)
  return {
    breaking() {
      brokenAt = performance.now()
      return true
    },
    async end() {
      clearInterval(timer)
      const patience = new AbortController()
      await Promise.race([Promise.all(underWay), sleep(10_000, null, { signal: patience.signal }).catch(() => null)])
      patience.abort()
      return { outcomes, unexpected, unsettled: underWay.size }
    },
  }
}

const [role = '10', ...args] = process.argv.slice(2)
if (role === 'controller' || role === 'node' || role === 'caller') await play(role, JSON.parse(args[0]))
else process.exitCode = await soak(Number(role))
