import type { Figures } from '../works/work.js'
import type { Curve } from './curve.js'
import { nsPerCall, quickest } from './quickest.js'
import { Scene } from './scene.js'

const ASK_MS = 90_000

/** What callbacks in the registry cost, and what they cost calls. */
export const registry: Curve = {
  name: 'registry',
  title: 'callbacks that one node registers, a node that joins then, and calls beside them',
  along: 'callbacks of one node',
  // The last is the most that a node may expose; two are the worker's own.
  points: [10, 100, 1000, 10_000, 99_990].map((units) => ({ label: units.toLocaleString('en'), units })),
  series: [{ peer: 'daffi', transport: 'unix' }],
  figures: [
    {
      key: 'register_ms',
      heading: 'ms until another node has seen the last',
      cost: 'all',
      chart: 'ms to register, seen by another node',
    },
    {
      key: 'join_ms',
      heading: 'ms until a new node knows them, quickest',
      cost: 'all',
      quickest: true,
      chart: 'ms until a new node knows them',
    },
    {
      key: 'ns_per_call',
      heading: 'ns a call at W2, quickest',
      cost: 'is',
      quickest: true,
      chart: 'beside them: ns a call at W2',
    },
  ],
  measure: ({ units }, { peer, transport }) =>
    Scene.play(peer, transport, async (scene) => {
      await scene.start('controller')
      const worker = await scene.start('worker')
      const caller = await scene.start('caller')
      const last = `index=${units - 1}`
      const watched = caller.ask(`watch ${last}`, ASK_MS)
      const registered = worker.ask(`register count=${units}`, ASK_MS)
      const [{ seen_ms }, { began_ms }] = (await Promise.all([watched, registered])) as [
        { seen_ms: number },
        { began_ms: number },
      ]
      const { join_ms } = (await caller.ask(`join ${last}`, ASK_MS)) as { join_ms: number }
      const w2 = 'W2 warmup=20000 calls=200000 outstanding=256'
      return {
        register_ms: seen_ms - began_ms,
        join_ms,
        ns_per_call: await quickest(async () => nsPerCall((await caller.ask(w2, ASK_MS)) as Figures)),
      }
    }),
}
