import test from 'ava'
import fc from 'fast-check'
import { MOST_LATE_BYTES } from '../../src-ts/native/late-changes.js'
import type { ExposedNames } from '../../src-ts/native/link-types.js'
import { MOST_UNEXPOSED } from '../../src-ts/native/methods.js'
import { RegistryView, type WireChange } from '../../src-ts/native/registry-view.js'
import { pack } from '../helpers/scripted-node.js'

function change(parts: Partial<WireChange>): WireChange {
  return { joined: [], names: [], exposes: [], withdraws: [], left: [], ...parts }
}

/** A view of node 1, named `own`, and node 2, named `b`; both expose `f`, which is callback 7. */
function pair(): RegistryView {
  const view = new RegistryView()
  view.own = 1
  view.apply(
    change({
      joined: [
        [1, 'own'],
        [2, 'b'],
      ],
      names: [[7, 'f']],
      exposes: [
        [1, [7]],
        [2, [7]],
      ],
    }),
  )
  return view
}

const byName = (view: RegistryView): [string, string[]][] => [...view.nodes].map(([node, names]) => [node, [...names]])

test('a change is given in names and seen from both sides', (t) => {
  const view = new RegistryView()
  view.own = 1
  const told = view.apply(
    change({
      joined: [
        [1, 'own'],
        [2, 'b'],
      ],
      names: [
        [7, 'f'],
        [8, 'g'],
      ],
      exposes: [[2, [7, 8]]],
    }),
  )
  t.deepEqual(told, {
    joined: ['own', 'b'],
    left: [],
    added: [
      ['b', 'f'],
      ['b', 'g'],
    ],
    removed: [],
  })
  t.is(view.indexOf('b'), 2)
  t.is(view.nodeName(2), 'b')
  t.is(view.callbackName(8), 'g')
  t.deepEqual(view.method('f'), { id: 7, name: 'f', callback: 'f', others: 1, isOwn: false, twin: null })
  t.is(view.method('h'), undefined)
  t.deepEqual(byName(view), [
    ['own', []],
    ['b', ['f', 'g']],
  ])
})

test('the own node is not counted among the others', (t) => {
  const view = pair()
  t.is(view.method('f')?.others, 1)
  view.apply(change({ withdraws: [[2, [7]]] }))
  t.is(view.method('f')?.others, 0)
  view.apply(change({ withdraws: [[1, [7]]] }))
  t.is(view.method('f')?.others, 0)
})

test('a node that leaves takes all it exposes along', (t) => {
  const view = pair()
  t.deepEqual(view.apply(change({ left: [2] })), { joined: [], left: ['b'], added: [], removed: [['b', 'f']] })
  t.is(view.indexOf('b'), undefined)
  t.is(view.nodeName(2), undefined)
  t.is(view.method('f')?.others, 0)
  t.deepEqual(byName(view), [['own', ['f']]])
})

test('what is told twice counts once, and what is unknown is passed over', (t) => {
  const view = pair()
  const told = view.apply(
    change({
      names: [[7, 'f']],
      exposes: [
        [2, [7, 99]],
        [55, [7]],
      ],
      withdraws: [
        [2, [98]],
        [55, [7]],
      ],
      left: [55],
    }),
  )
  t.deepEqual(told, { joined: [], left: [], added: [], removed: [] })
  t.is(view.method('f')?.others, 1)
})

test('a node that comes back under its name in one change stays, with what it exposes now', (t) => {
  const view = pair()
  // The controller forgot `f` of the old node and gave the name a new id.
  view.apply(change({ withdraws: [[1, [7]]] }))
  view.apply(change({ joined: [[3, 'b']], names: [[9, 'f']], exposes: [[3, [9]]], left: [2] }))
  t.is(view.indexOf('b'), 3)
  t.is(view.nodeName(2), undefined)
  t.deepEqual(byName(view), [
    ['own', []],
    ['b', ['f']],
  ])
  t.deepEqual(view.method('f'), { id: 9, name: 'f', callback: 'f', others: 1, isOwn: false, twin: null })
})

test('a name that is withdrawn and exposed again in one change stays exposed, under its new id', (t) => {
  const view = pair()
  view.apply(change({ withdraws: [[1, [7]]] }))
  const told = view.apply(change({ names: [[9, 'f']], exposes: [[2, [9]]], withdraws: [[2, [7]]] }))
  t.deepEqual(told, { joined: [], left: [], added: [], removed: [] })
  t.deepEqual(view.method('f'), { id: 9, name: 'f', callback: 'f', others: 1, isOwn: false, twin: null })
  t.deepEqual([...(view.nodes.get('b') ?? [])], ['f'])
  t.is(view.callbackName(7), 'f', 'a request under the old id may still be on its way')
})

test('a name that moves to another node in one change is counted there', (t) => {
  const view = pair()
  view.apply(change({ withdraws: [[1, [7]]], joined: [[3, 'c']] }))
  view.apply(change({ names: [[9, 'f']], exposes: [[3, [9]]], left: [2] }))
  t.deepEqual(view.method('f'), { id: 9, name: 'f', callback: 'f', others: 1, isOwn: false, twin: null })
  view.apply(change({ withdraws: [[3, [9]]] }))
  t.deepEqual(view.method('f'), { id: 9, name: 'f', callback: 'f', others: 0, isOwn: false, twin: null })
})

test('a name that was called is found under its new id, and not at all once nobody is known', (t) => {
  const view = pair()
  t.is(view.method('f')?.id, 7)
  view.apply(
    change({
      withdraws: [
        [1, [7]],
        [2, [7]],
      ],
    }),
  )
  view.apply(change({ names: [[9, 'f']], exposes: [[2, [9]]] }))
  t.is(view.method('f')?.id, 9)
  view.clear()
  t.is(view.method('f'), undefined)
})

test('clear forgets all, which can be told as nodes that leave', (t) => {
  const view = pair()
  t.deepEqual(view.allLeft(), {
    joined: [],
    left: ['own', 'b'],
    added: [],
    removed: [
      ['own', 'f'],
      ['b', 'f'],
    ],
  })
  view.clear()
  t.is(view.own, 0)
  t.is(view.nodes.size, 0)
  t.is(view.callbackName(7), undefined)
  t.is(view.method('f'), undefined)
})

/** The controller's side in the simplest words: it tells changes in batches, and a name without exposers loses its id. */
class Model {
  readonly nodes = new Map<number, { name: string; callbacks: Set<string> }>()
  readonly #ids = new Map<string, number>()
  #lastNode = 0
  #lastId = 0
  #told = new Map<number, { name: string; ids: Set<number> }>()
  #named = new Set<number>()

  indexOf(name: string): number | undefined {
    return [...this.nodes].find(([, node]) => node.name === name)?.[0]
  }

  step([kind, name, callback]: [kind: string, name: string, callback: string]): void {
    const index = this.indexOf(name)
    if (kind === 'join' && index === undefined) this.nodes.set(++this.#lastNode, { name, callbacks: new Set() })
    if (index === undefined) return
    // Its own node never leaves: that would be the end of the connection.
    if (kind === 'leave' && index !== 1) this.nodes.delete(index)
    if (kind === 'expose') this.nodes.get(index)?.callbacks.add(callback)
    if (kind === 'withdraw') this.nodes.get(index)?.callbacks.delete(callback)
    for (const known of [...this.#ids.keys()]) if (this.exposers(known).length === 0) this.#ids.delete(known)
    if (this.exposers(callback).length > 0 && !this.#ids.has(callback)) this.#ids.set(callback, ++this.#lastId)
  }

  exposers(callback: string): number[] {
    return [...this.nodes].filter(([, node]) => node.callbacks.has(callback)).map(([index]) => index)
  }

  id(callback: string): number | undefined {
    return this.#ids.get(callback)
  }

  /** All that differs from what was told before. */
  tell(): WireChange {
    const told = change({})
    const now = new Map(
      [...this.nodes].map(([index, { name, callbacks }]) => {
        return [index, { name, ids: new Set([...callbacks].map((callback) => this.#ids.get(callback) as number)) }]
      }),
    )
    for (const [name, id] of this.#ids) if (!this.#named.has(id)) told.names.push([id, name])
    for (const id of this.#ids.values()) this.#named.add(id)
    for (const [index, { name, ids }] of now) {
      const before = this.#told.get(index)
      if (before === undefined) told.joined.push([index, name])
      const added = [...ids].filter((id) => before?.ids.has(id) !== true)
      const removed = [...(before?.ids ?? [])].filter((id) => !ids.has(id))
      if (added.length > 0) told.exposes.push([index, added])
      if (removed.length > 0) told.withdraws.push([index, removed])
    }
    for (const index of this.#told.keys()) if (!now.has(index)) told.left.push(index)
    this.#told = now
    return told
  }
}

/** A step of the model, of any of these callbacks. */
function stepOf(...callbacks: string[]): fc.Arbitrary<[kind: string, name: string, callback: string]> {
  return fc.tuple(
    fc.constantFrom('join', 'leave', 'expose', 'expose', 'withdraw'),
    fc.constantFrom('own', 'b', 'c'),
    fc.constantFrom(...callbacks),
  )
}

test('a node is the names of its callbacks, as long as it is known', (t) => {
  const view = pair()
  const b = view.nodes.get('b') as ExposedNames
  view.apply(
    change({
      names: [
        [8, '*g'],
        [9, 'g'],
        [40, '*h'],
      ],
      exposes: [[2, [8, 9, 40]]],
    }),
  )
  t.deepEqual([...b], ['f', 'g', 'h'])
  t.true(b.has('g'))
  t.true(b.has('h'))
  t.false(b.has('*g'))
  t.false(b.has('i'))
  t.true(view.hasCallback('h'))
  t.false(view.hasCallback('*h'))
  view.apply(change({ withdraws: [[2, [8, 40]]] }))
  t.deepEqual([...b], ['f', 'g'])
  t.false(view.hasCallback('h'))
})

test('an index that is no number names no property of the view', (t) => {
  const view = pair()
  for (const index of ['length', '__proto__', -1, 1.5, 2 ** 40, null] as unknown as number[]) {
    view.apply(change({ joined: [[index, 'odd']], exposes: [[index, [7]]], withdraws: [[index, [7]]], left: [index] }))
    t.is(view.nodes.has('odd'), false)
    t.deepEqual(view.apply(change({ exposes: [[2, [index]]] })).added, [])
  }
  t.deepEqual(view.allLeft().left, ['b'])
})

test('after any changes the view is what the controller knows', (t) => {
  const step = stepOf('f', 'g')
  fc.assert(
    fc.property(fc.array(fc.array(step, { maxLength: 6 }), { maxLength: 12 }), (batches) => {
      const model = new Model()
      const view = new RegistryView()
      view.own = 1
      for (const batch of [[['join', 'own', 'f'] as [string, string, string]], ...batches]) {
        for (const one of batch) model.step(one)
        view.apply(model.tell())
        const expected = [...model.nodes.values()].map(({ name, callbacks }) => [name, [...callbacks].toSorted()])
        t.deepEqual(
          byName(view)
            .map(([name, names]) => [name, names.toSorted()])
            .toSorted(),
          expected.toSorted(),
        )
        for (const [index, { name }] of model.nodes) {
          t.is(view.nodeName(index), name)
          t.is(view.indexOf(name), index)
        }
        for (const callback of ['f', 'g']) {
          const exposers = model.exposers(callback)
          t.is(view.method(callback)?.others ?? 0, exposers.filter((index) => index !== 1).length)
          if (exposers.length > 0) t.is(view.method(callback)?.id, model.id(callback))
          const { names, indexes } = view.receivers(callback)
          t.deepEqual(
            indexes.toSorted(),
            exposers.filter((index) => index !== 1),
          )
          t.deepEqual(
            names,
            indexes.map((index) => view.nodeName(index)),
          )
        }
      }
    }),
    { numRuns: 300 },
  )
})

test('what a change is in names is what differs in names after it', (t) => {
  const step = stepOf('f', '*f', 'g', '*g')
  const pairs = (view: RegistryView): string[] =>
    [...view.nodes].flatMap(([node, names]) => [...names].map((name) => `${view.indexOf(node)} ${node} ${name}`))
  fc.assert(
    fc.property(fc.array(fc.array(step, { maxLength: 6 }), { maxLength: 12 }), (batches) => {
      const model = new Model()
      const view = new RegistryView()
      view.own = 1
      for (const batch of [[['join', 'own', 'f'] as [string, string, string]], ...batches]) {
        const before = pairs(view)
        for (const one of batch) model.step(one)
        const { added, removed } = view.apply(model.tell())
        const after = pairs(view)
        const named = (pair: string): string => pair.slice(pair.indexOf(' ') + 1)
        const toldAs = (told: [string, string][]): string[] => told.map((one) => one.join(' ')).toSorted()
        t.deepEqual(
          toldAs(added),
          after
            .filter((pair) => !before.includes(pair))
            .map(named)
            .toSorted(),
        )
        t.deepEqual(
          toldAs(removed),
          before
            .filter((pair) => !after.includes(pair))
            .map(named)
            .toSorted(),
        )
      }
    }),
    { numRuns: 300 },
  )
})

test('each of very many names is found, and under its latest id', (t) => {
  const view = pair()
  t.is(view.method('f')?.id, 7)
  const count = 150_000
  for (let from = 0; from < count; from += 1000) {
    const ids = Array.from({ length: 1000 }, (_, at) => 100 + from + at)
    view.apply(change({ names: ids.map((id) => [id, `job-${id}`]), exposes: [[2, ids]] }))
    t.is(view.method(`job-${100 + from}`)?.id, 100 + from)
    t.is(view.method('f')?.id, 7)
  }
  for (let id = 100; id < 100 + count; id += 997) t.is(view.method(`job-${id}`)?.id, id)
  t.is(view.method('job-99'), undefined)
  t.is([...(view.nodes.get('b') ?? [])].length, count + 1)
  view.apply(change({ withdraws: [[2, [100]]] }))
  view.apply(change({ names: [[999_999, 'job-100']], exposes: [[2, [999_999]]] }))
  t.is(view.method('job-100')?.id, 999_999)
  t.is(view.method('job-101')?.id, 101)
  view.apply(change({ left: [2] }))
  t.is(view.method('job-101'), undefined)
})

test('of the names that no node exposes any more only the last are kept', (t) => {
  const view = pair()
  for (let id = 100; id < 100 + MOST_UNEXPOSED; id++) {
    view.apply(change({ names: [[id, `job-${id}`]], exposes: [[2, [id]]] }))
    view.apply(change({ withdraws: [[2, [id]]] }))
  }
  const kept = 100 + MOST_UNEXPOSED / 2
  t.is(view.callbackName(kept - 1), undefined)
  t.is(view.method(`job-${kept - 1}`), undefined)
  t.is(view.callbackName(kept), `job-${kept}`, 'a request for it may be under way')
  t.is(view.method('f')?.others, 1)
  view.apply(change({ names: [[9999, 'job-109']], exposes: [[2, [9999]]] }))
  t.is(view.method('job-109')?.id, 9999)
})

/** Has the view apply a change when it must; the memory that it came in is used again. */
function applyLate(view: RegistryView, told: WireChange): void {
  const body = pack(told)
  const buffer = Buffer.concat([Buffer.from('head'), body])
  view.applyLate(buffer, 4, buffer.length)
  buffer.fill(0xc1)
}

/** Everything that can be read of a view, each with what it says. */
const READS: Record<string, (view: RegistryView) => unknown> = {
  nodes: byName,
  callbackName: (view) => [7, 8, 9].map((id) => view.callbackName(id)),
  ownNames: (view) => [...view.ownNames],
  controller: (view) => view.controller,
  method: (view) => [view.method('f'), view.method('g'), view.method('*g')],
  yields: (view) => [0, 1, 2, 3].map((index) => view.yields('g', index)),
  streamMethod: (view) => [view.streamMethod('g', 0), view.streamMethod('g', 2), view.streamMethod('f', 0)],
  indexOf: (view) => ['own', 'b', 'c'].map((name) => view.indexOf(name)),
  nodeName: (view) => [1, 2, 3, 4, 5].map((index) => view.nodeName(index)),
  receivers: (view) => ['f', 'g'].map((name) => view.receivers(name)),
}

function readAll(view: RegistryView): unknown {
  return Object.values(READS).map((read) => read(view))
}

test('whatever is read first, a change that is applied late is seen', (t) => {
  const late = change({
    joined: [[3, 'c']],
    names: [[8, '*g']],
    exposes: [
      [3, [7, 8]],
      [1, [8]],
    ],
    left: [2],
  })
  const applied = pair()
  applied.controllerName = 'c'
  applied.apply(late)
  for (const [what, read] of Object.entries(READS)) {
    const view = pair()
    view.controllerName = 'c'
    readAll(view)
    applyLate(view, late)
    t.deepEqual(read(view), read(applied), what)
    t.deepEqual(readAll(view), readAll(applied), what)
  }
})

test('changes that are applied late, with any reads between, make the view that those applied at once make', (t) => {
  const step = stepOf('f', 'g', '*g')
  const batch = fc.record({
    steps: fc.array(step, { maxLength: 6 }),
    how: fc.constantFrom('late', 'late', 'late', 'now'),
    read: fc.option(fc.constantFrom(...Object.keys(READS)), { freq: 2 }),
  })
  fc.assert(
    fc.property(fc.array(batch, { maxLength: 12 }), fc.boolean(), (batches, isOver) => {
      const model = new Model()
      const views = [new RegistryView(), new RegistryView()] as const
      const [applied, late] = views
      for (const view of views) view.own = 1
      for (const view of views) view.controllerName = 'b'
      model.step(['join', 'own', 'f'])
      for (const { steps, how, read } of batches) {
        for (const one of steps) model.step(one)
        const told = model.tell()
        const changes = applied.apply(told)
        if (how === 'late') applyLate(late, told)
        else t.deepEqual(late.apply(told), changes)
        if (read !== null) t.deepEqual(READS[read]?.(late), READS[read]?.(applied))
      }
      // When the connection is gone nothing is left, whether they were applied before or not.
      if (isOver) for (const view of views) view.clear()
      else t.deepEqual(late.allLeft(), applied.allLeft())
      t.deepEqual(readAll(late), readAll(applied))
    }),
    { numRuns: 300 },
  )
})

test('more late changes than may wait are applied, and so is one that is larger than that', (t) => {
  const view = pair()
  const join = (from: number, count: number): WireChange =>
    change({ joined: Array.from({ length: count }, (_, at) => [from + at, `node-${from + at}`]) })
  const all = 2 + Math.ceil((3 * MOST_LATE_BYTES) / 10)
  for (let at = 3; at <= all; at += 10) applyLate(view, join(at, Math.min(10, all - at + 1)))
  t.is(view.nodes.size, all)
  t.is(view.indexOf(`node-${all}`), all)
  applyLate(view, join(all + 1, MOST_LATE_BYTES / 8))
  applyLate(view, change({ left: [all + 1] }))
  t.is(view.nodes.size, all + MOST_LATE_BYTES / 8 - 1)
})

test('changes that wait are forgotten with all others, and told with them', (t) => {
  const view = pair()
  applyLate(view, change({ joined: [[3, 'c']] }))
  t.deepEqual(view.allLeft().left, ['own', 'b', 'c'])
  applyLate(view, change({ joined: [[4, 'd']] }))
  view.clear()
  t.is(view.indexOf('d'), undefined)
})

test.serial(
  'a late change that is none ends as an uncaught error; who reads and the other changes are not to blame',
  async (t) => {
    const view = pair()
    applyLate(view, change({ joined: [[3, 'c']] }))
    applyLate(view, { joined: 5 } as unknown as WireChange)
    applyLate(view, change({ joined: [[4, 'd']] }))
    const before = process.listeners('uncaughtException')
    process.removeAllListeners('uncaughtException')
    const uncaught: unknown[] = []
    process.on('uncaughtException', (error) => uncaught.push(error))
    try {
      t.deepEqual([...view.nodes.keys()], ['own', 'b', 'c', 'd'])
      await new Promise((resolve) => setImmediate(resolve))
    } finally {
      process.removeAllListeners('uncaughtException')
      for (const listener of before) process.on('uncaughtException', listener)
    }
    t.is(uncaught.length, 1)
    t.true(uncaught[0] instanceof TypeError)
  },
)
