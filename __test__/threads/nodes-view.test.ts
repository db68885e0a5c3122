import test from 'ava'
import { NodesView } from '../../src-ts/threads/nodes-view.js'

const none = { joined: [], left: [], added: [], removed: [] }

test('a mark tells generators, which are called by their name', (t) => {
  const view = new NodesView()
  view.replace([
    ['own', ['*range']],
    ['b', ['*range', 'add']],
  ])
  const b = view.indexOf('b') as number
  t.deepEqual([...(view.nodes.get('b') ?? [])], ['range', 'add'])
  t.true(view.yields('range', b, 'own'))
  t.true(view.yields('range', 0, 'own'))
  t.false(view.yields('add', b, 'own'))
  t.false(view.yields('add', 0, 'own'))

  view.apply({ ...none, removed: [['b', 'range']] })
  t.false(view.yields('range', b, 'own'))
  t.false(view.yields('range', 0, 'own'), 'the own one does not count')
  view.apply({ ...none, joined: ['c'], added: [['c', '*range']] })
  t.true(view.yields('range', 0, 'own'))
  t.true(view.yields('range', view.indexOf('c') as number, 'own'))
  view.apply({ ...none, left: ['c'] })
  t.false(view.yields('range', 0, 'own'))

  view.replace([['b', ['*add', 'range']]])
  t.is(view.indexOf('b'), b)
  t.true(view.yields('add', b, 'own'))
  t.false(view.yields('range', b, 'own'))
})
