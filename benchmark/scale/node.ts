/**
 * A process of a curve: `node node.js <peer> <role> <place as JSON>`.
 *
 * Worker and controller are those of the works. A caller of daffi has a name of its own, so that there can be many, and
 * knows more commands than the works have. Each line of standard input is a command (`W2 calls=50000 outstanding=64`),
 * answered with a line of JSON.
 */
import { createInterface } from 'node:readline'
import type { Global } from 'daffi'
import { Meter } from '../meter.js'
import type { Caller, Place } from '../peer.js'
import { loadPeer } from '../peers/index.js'
import { w1 } from '../works/w1.js'
import { w2 } from '../works/w2.js'
import type { Work } from '../works/work.js'
import { now } from './clock.js'
import { quickest } from './quickest.js'

/** What a line asks for; takes its numbers by name. */
type Command = (numbers: Readonly<Record<string, number>>) => Promise<object>

/** The callbacks of the worker, for the types of the caller. */
interface Remote {
  echo: (value: unknown) => unknown
  add: (a: number, b: number) => number
}

const WAIT = { timeout: '60s' } as const

/** What the works of the curves do not call. */
const withoutOthers: Omit<Caller, 'echo' | 'add'> = {
  notes: refuse,
  noteAcknowledged: refuse,
  range: refuse,
  addAll: refuse,
  crowd: refuse,
}

const [, , peerName = '', role = '', placeText = '{}'] = process.argv
const place = JSON.parse(placeText) as Place
const commands = await start()
const input = createInterface({ input: process.stdin })
input.on('line', (line) => void obey(line).then(say, (error: Error) => say({ error: error.stack ?? error.message })))
input.on('close', () => process.exit(0))
say({ ready: true })

async function start(): Promise<Readonly<Record<string, Command>>> {
  if (role === 'caller' && peerName === 'daffi') return startDaffiCaller()
  const roles = (await loadPeer(peerName)).roles ?? {}
  if (role === 'caller') {
    const caller = await roles.caller?.(place)
    return caller === undefined ? {} : works(caller)
  }
  await roles[role as 'controller' | 'worker']?.(place)
  return { register }
}

async function startDaffiCaller(): Promise<Readonly<Record<string, Command>>> {
  const { Global } = await import('daffi')
  const options = place.transport === 'tcp' ? { host: '127.0.0.1', port: place.port } : { unixSockPath: place.folder }
  const open = (): Promise<Global> => Global.start(options)
  const g = (await open()).as<Remote>()
  for (const name of ['echo', 'add']) await g.waitFunction(name, WAIT)
  return {
    ...works({
      ...withoutOthers,
      echo: (value) => g.call.echo(value).fg(),
      add: (a, b) => g.call.add(a, b).fg(),
    }),
    watch: async ({ index = 0 }) => {
      await g.waitFunction(nameOf(index), WAIT)
      return { seen_ms: now() }
    },
    /** How long the quickest of some nodes, one after the other, takes to come up and know the callback of this index. */
    join: async ({ index = 0 }) => {
      const join_ms = await quickest(async () => {
        const start = now()
        const joined = await open()
        await joined.waitFunction(nameOf(index), WAIT)
        const took = now() - start
        await joined.stop()
        return took
      })
      return { join_ms }
    },
  }
}

/** Registers callbacks, and tells when it began. */
async function register({ count = 0 }: Readonly<Record<string, number>>): Promise<object> {
  const { callback } = await import('daffi')
  const began_ms = now()
  for (let i = 0; i < count; i++) callback(nameOf(i), () => i)
  return { began_ms }
}

function nameOf(index: number): string {
  return `callback-${index}`
}

function works(caller: Caller): Record<string, Command> {
  return { W1: (numbers) => runWork(w1, caller, numbers), W2: (numbers) => runWork(w2, caller, numbers) }
}

async function runWork(work: Work, caller: Caller, numbers: Readonly<Record<string, number>>): Promise<object> {
  const span = new Span([], 0)
  const figures = await work.run?.(caller, { warmup: 0, calls: 0, ...numbers }, span)
  return { ...figures, began_ms: span.beganMs, ended_ms: span.endedMs }
}

/** The measured window of a work by a clock that all processes share. */
class Span extends Meter {
  beganMs = 0
  endedMs = 0

  override begin(): void {
    super.begin()
    this.beganMs = now()
  }

  override end(): number {
    this.endedMs = now()
    return super.end()
  }
}

function refuse(): Promise<never> {
  return Promise.reject(new Error('no curve calls this'))
}

async function obey(line: string): Promise<object> {
  const [name = '', ...words] = line.split(' ')
  const command = commands[name]
  if (command === undefined) throw new Error(`no command ${name} for this process`)
  return command(
    Object.fromEntries(words.map((word) => word.split('=', 2)).map(([key, value]) => [key, Number(value)])),
  )
}

function say(message: object): void {
  process.stdout.write(`${JSON.stringify(message)}\n`)
}
