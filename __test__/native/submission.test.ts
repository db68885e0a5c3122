import test from 'ava'
import { HEADER_BYTES, Kind } from '../../src-ts/native/frame.js'
import { Submission } from '../../src-ts/native/submission.js'

/** A submission, and what has left it. */
function start(): { submission: Submission; sent: Buffer[] } {
  const sent: Buffer[] = []
  const submit = (buffer: Uint8Array, length: number): boolean => {
    sent.push(Buffer.from(buffer.subarray(0, length)))
    return false
  }
  return { submission: new Submission({ submit, submitBig: () => false }, 1024), sent }
}

test('a submission takes no memory before its first frame, whatever that is', (t) => {
  const before = process.memoryUsage().arrayBuffers
  const all = Array.from({ length: 100 }, start)
  t.true(process.memoryUsage().arrayBuffers - before < 100 * 1024)
  const writes: ((submission: Submission) => void)[] = [
    (submission) => submission.append(Kind.Request, 0, 1, 2, 3, 4, ['x'], 0, 'args'),
    (submission) => submission.appendItems(Kind.CallerItems, 0, 2, 3, 4, ['x']),
    (submission) => submission.appendEmpty(Kind.Cancel, 2, 3),
    (submission) => submission.appendControl(Kind.Goodbye, { reason: 'x' }),
  ]
  for (const [i, write] of writes.entries()) {
    const { submission, sent } = all[i] as (typeof all)[number]
    submission.flush()
    t.is(sent.length, 0)
    write(submission)
    submission.flush()
    t.is(sent.length, 1)
    const frame = sent[0] as Buffer
    t.is(frame.readUInt32LE(0) + HEADER_BYTES + 7 - ((frame.readUInt32LE(0) + 7) % 8), frame.length)
  }
})
