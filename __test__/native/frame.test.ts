import { readFileSync } from 'node:fs'
import test from 'ava'
import fc from 'fast-check'
import {
  attachmentsEntry,
  BIG_PAYLOAD_BYTES,
  Flag,
  HEADER_BYTES,
  KEY_WORDS,
  Kind,
  padded,
  readExtension,
  Tag,
  writeKey,
  writeTimeout,
} from '../../src-ts/native/frame.js'

function rust(path: string): string {
  return readFileSync(new URL(`../../crates/${path}`, import.meta.url), 'utf8')
}

/** The numbers of an enum or of constants, by name; `1 << 3` and `64 * 1024` are worked out. */
function numbers(source: string, pattern: RegExp): Record<string, number> {
  const found: Record<string, number> = {}
  for (const [, name, value] of source.matchAll(pattern)) {
    const terms = (value as string).replaceAll('_', '').split(/\s*(<<|\*)\s*/)
    let number = Number(terms[0])
    for (let at = 1; at < terms.length; at += 2) {
      number = terms[at] === '*' ? number * Number(terms[at + 1]) : number << Number(terms[at + 1])
    }
    found[name as string] = number
  }
  return found
}

const CONSTANT = /const ([A-Z_]+): \w+ = ([\d_]+(?:\s*(?:<<|\*)\s*[\d_]+)*);/g
const VARIANT = /^ {4}([A-Z]\w+) = (\d+),$/gm

test('kinds are those of the wire and of the events', (t) => {
  const wire = numbers(rust('protocol/src/kind.rs'), VARIANT)
  const events = numbers(rust('core/src/node/event.rs'), VARIANT)
  t.is(Object.keys(wire).length, 24)
  t.is(Object.keys(events).length, 5)
  const known = { ...wire, ...events }
  for (const [name, number] of Object.entries(Kind)) t.is(known[name], number, name)
  for (const name of Object.keys(events)) t.true(name in Kind, `${name} is not known in TypeScript`)
})

test('flags are those of the wire', (t) => {
  const flags = numbers(rust('protocol/src/kind.rs'), CONSTANT)
  t.deepEqual(
    [...Object.values(flags)].toSorted((a, b) => a - b),
    [1, 2, 4, 8, 16, 32, 64, 128],
  )
  t.is(Flag.NoReply, flags.NO_REPLY as 1)
  t.is(Flag.Local, flags.LOCAL as 2)
  t.is(Flag.Attached, flags.ATTACHED as 4)
  t.is(Flag.Last, flags.LAST as 16)
  t.is(Flag.Stream, flags.STREAM as 32)
  t.is(Flag.Source, flags.SOURCE as 64)
  t.is(Flag.Refused, Flag.NoReply, 'as in `REFUSED: u8 = NO_REPLY`')
  t.is(Flag.Big, flags.BIG as 128)
})

test('tags of extensions are those of the wire', (t) => {
  const tags = numbers(rust('protocol/src/extension.rs'), CONSTANT)
  t.is(Tag.Timeout, tags.TAG_TIMEOUT as 1)
  t.is(Tag.Attachments, tags.TAG_ATTACHMENTS as 3)
})

test('limits are those of the wire', (t) => {
  const limits = numbers(rust('protocol/src/limits.rs'), CONSTANT)
  t.is(HEADER_BYTES, limits.HEADER_BYTES as 24)
  t.is(BIG_PAYLOAD_BYTES, limits.BIG_PAYLOAD_BYTES as number)
})

test('padded gives the next multiple of eight', (t) => {
  for (let bytes = 0; bytes < 100; bytes++) t.is(padded(bytes), Math.ceil(bytes / 8) * 8)
})

test('writeTimeout rounds up and never wraps round', (t) => {
  const words = new Uint32Array(4)
  for (const [timeoutMs, written] of [
    [1, 1],
    [0.2, 1],
    [1.5, 2],
    [2 ** 32 - 1, 2 ** 32 - 1],
    [2 ** 40, 2 ** 32 - 1],
    [Number.POSITIVE_INFINITY, 2 ** 32 - 1],
  ] as const) {
    writeTimeout(words, 2, timeoutMs)
    t.deepEqual([...words], [0, 0, 1, written])
    t.is(readExtension(words, 2, 8).timeoutMs, written)
  }
})

test('readExtension gives back what was written, wherever it lies and beside entries it does not know', (t) => {
  const unknown = fc
    .tuple(fc.integer({ min: 5, max: 0xffff }), fc.array(fc.nat(), { maxLength: 4 }))
    .map(([tag, words]) => [tag | (words.length << 16), 7, ...words.flatMap((word) => [word, 0])])
  fc.assert(
    fc.property(
      fc.array(unknown, { maxLength: 3 }),
      fc.integer({ min: 1, max: 2 ** 32 - 1 }),
      fc.array(fc.nat({ max: 1000 }), { minLength: 1, maxLength: 8 }),
      fc.nat({ max: 5 }),
      fc.uint32Array({ minLength: 4, maxLength: 4 }),
      (others, timeoutMs, lengths, offset, key) => {
        const timeout = new Uint32Array(2)
        writeTimeout(timeout, 0, timeoutMs)
        const entry = attachmentsEntry(
          33,
          lengths.map((length) => new Uint8Array(length)),
        )
        const keyed = new Uint32Array(KEY_WORDS)
        writeKey(keyed, 0, key)
        const [first = [], second = [], third = []] = others
        const extension = [...first, ...timeout, ...keyed, ...second, ...entry, ...third]
        const words = Uint32Array.from([...new Array(offset).fill(0xffffffff), ...extension, 1, 2])
        t.deepEqual(readExtension(words, offset, extension.length * 4), {
          timeoutMs,
          messageBytes: 33,
          attachmentBytes: lengths,
          key: key.join('-'),
        })
      },
    ),
  )
})

test('an attachment of more than 4 GiB has its length in both halves of the word', (t) => {
  const words = Uint32Array.from([Tag.Attachments | (1 << 16), 8, 5, 2])
  t.deepEqual(readExtension(words, 0, 16).attachmentBytes, [2 * 2 ** 32 + 5])
})

test('readExtension ends at whatever it is given, and reads nothing behind its end', (t) => {
  fc.assert(
    fc.property(fc.uint32Array({ maxLength: 40 }), fc.nat({ max: 20 }), (extension, cut) => {
      const bytes = Math.max(0, extension.length - cut) * 4
      const inside = readExtension(Uint32Array.from(extension.subarray(0, bytes >> 2)), 0, bytes)
      t.deepEqual(readExtension(extension, 0, bytes), inside)
      t.true(inside.attachmentBytes.length * 8 <= bytes)
    }),
  )
})

test('a list of attachments that is cut off is left out', (t) => {
  const entry = attachmentsEntry(9, [new Uint8Array(3), new Uint8Array(4)])
  for (let words = 0; words < entry.length; words += 2) {
    t.deepEqual(readExtension(entry, 0, words * 4), { timeoutMs: 0, messageBytes: -1, attachmentBytes: [], key: '' })
  }
  t.deepEqual(readExtension(entry, 0, entry.byteLength).attachmentBytes, [3, 4])
})
