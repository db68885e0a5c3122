import test from 'ava'
import { joinParts, packValue, splitParts, unpackValue } from '../../src-ts/isolation/parcel.js'

test('parts come apart as they went together', (t) => {
  for (const parts of [[], [Buffer.from('a')], [Buffer.alloc(0), Buffer.from('bc'), Buffer.alloc(70_000, 1)]]) {
    t.deepEqual(splitParts(joinParts(parts)), parts)
  }
})

test('bytes that are no parts are refused, whatever they announce', (t) => {
  const good = joinParts([Buffer.from('abc'), Buffer.from('de')])
  for (let length = 0; length < good.length; length++) t.throws(() => splitParts(good.subarray(0, length)))
  t.throws(() => splitParts(Buffer.concat([good, Buffer.of(0)])), { message: /bytes follow/ })
  t.throws(() => splitParts(Buffer.from('ffffffff00000000', 'hex')), { message: /parts are missing/ })
  t.throws(() => splitParts(Buffer.from('01000000ffffffff00', 'hex')), { message: /cut off/ })
})

test('values come back as they went, in memory of their own', (t) => {
  const value = [
    undefined,
    -0,
    new Map([[1, new Set([2n])]]),
    Buffer.alloc(100_000, 7),
    new Float64Array(20_000).fill(3),
  ]
  const joined = joinParts(packValue(value, 2 ** 26, 'args'))
  const back = unpackValue(splitParts(joined)) as typeof value
  t.deepEqual(back, value)
  t.not((back[3] as Buffer).buffer, joined.buffer)
  t.throws(() => unpackValue([]))
})
