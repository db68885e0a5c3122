/**
 * Runs one sent function, in a thread or process of its own. The build makes one text of this file and what it imports
 * (`runner-text.js`), so that a program that was bundled into one file runs as it is. It loads no addon.
 */
import { readSync, writeSync } from 'node:fs'
import { isMainThread, parentPort, workerData } from 'node:worker_threads'
import { compileSource } from '../callback/transfer-source.js'
import { PayloadTooLargeError, WireCode } from '../errors.js'
import { describeError } from '../payload/remote-error.js'
import { joinParts, packValue, splitParts, unpackValue } from './parcel.js'
import { CHANNEL, LENGTH_BYTES, MOST_DETAIL, type ThreadData } from './run.js'

/** What Node gives to a program that it was handed as text, and to no other. */
for (const name of ['require', 'module', 'exports', '__filename', '__dirname']) Reflect.deleteProperty(globalThis, name)

// A failure in here ends the run without an answer.
void (isMainThread ? runInProcess() : runInThread())

async function runInThread(): Promise<void> {
  const { request, main } = workerData as ThreadData
  if (main !== null) process.argv[1] = main
  const bytes = await answer(Buffer.from(request.buffer, request.byteOffset, request.byteLength))
  parentPort?.postMessage(bytes, [bytes.buffer as ArrayBuffer])
}

async function runInProcess(): Promise<void> {
  // Permissions of Node leave signals alone: with one a process elsewhere opens its debugger.
  for (const name of ['kill', '_kill', '_debugProcess']) Reflect.deleteProperty(process, name)
  // The shell has set it.
  Reflect.deleteProperty(process.env, 'PWD')
  const hello = Buffer.alloc(4)
  hello.writeUInt32LE(process.pid)
  writeAll(hello)
  const request = readAll(readAll(LENGTH_BYTES).readUIntLE(0, LENGTH_BYTES))
  const bytes = await answer(request)
  const length = Buffer.alloc(LENGTH_BYTES)
  length.writeUIntLE(bytes.length, 0, LENGTH_BYTES)
  writeAll(length)
  writeAll(bytes)
}

/** Runs what is asked for: a source, the most bytes of a result, arguments. */
async function answer(request: Buffer): Promise<Buffer> {
  const [text, most, ...args] = splitParts(request) as [Buffer, Buffer, ...Buffer[]]
  const maxPayload = Number(most.toString())
  let result: unknown
  try {
    const fn = compileSource(text.toString())
    result = await fn(...(unpackValue(args) as unknown[]))
  } catch (error) {
    return outcome(WireCode.RemoteError, describeError(error))
  }
  try {
    return joinParts([Buffer.of(0), ...packValue(result, maxPayload, 'result')])
  } catch (error) {
    const code = error instanceof PayloadTooLargeError ? WireCode.PayloadTooLarge : WireCode.NotSerializable
    return outcome(code, error instanceof Error ? error.message : String(error))
  }
}

function outcome(code: number, detail: unknown): Buffer {
  return joinParts([Buffer.of(code), ...packValue(detail, MOST_DETAIL, 'error')])
}

/** The channel is read and written as a file: it blocks, and nothing else runs here yet or any more. */
function readAll(length: number): Buffer {
  const bytes = Buffer.allocUnsafeSlow(length)
  for (let at = 0; at < length; ) {
    const read = readSync(CHANNEL, bytes, at, length - at, null)
    if (read === 0) process.exit(1)
    at += read
  }
  return bytes
}

function writeAll(bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length; ) at += writeSync(CHANNEL, bytes, at)
}
