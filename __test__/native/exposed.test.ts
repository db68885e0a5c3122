import test from 'ava'
import { Exposed } from '../../src-ts/native/exposed.js'

/** All that is due in this turn of the event loop has run. */
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

/** Names that a controller was told of and has taken in, one message after the other. */
class Told {
  readonly known = new Set<string>()
  readonly messages: { add?: readonly string[]; remove?: readonly string[] }[] = []
  readonly exposed = new Exposed((message) => this.messages.push(message))

  /** The controller takes in the next message. */
  takeIn(): void {
    const { add = [], remove = [] } = this.messages.shift() ?? {}
    for (const name of add) this.known.add(name)
    for (const name of remove) this.known.delete(name)
    this.exposed.settle(this.known)
  }
}

/** What has settled of these, by name. */
function log(promises: Record<string, Promise<void>>): string[] {
  const settled: string[] = []
  for (const [name, promise] of Object.entries(promises)) {
    promise.then(
      () => settled.push(name),
      (error: Error) => settled.push(`${name}: ${error.name}`),
    )
  }
  return settled
}

test('who registers waits until the controller has taken that in, in order', async (t) => {
  const told = new Told()
  const { exposed, known } = told
  const settled = log({
    f: exposed.change(['f'], [], known),
    g: exposed.change(['g', 'h'], [], known),
    'no f': exposed.change([], ['f'], known),
  })
  t.is(told.messages.length, 3)
  await turn()
  t.deepEqual(settled, ['f'], 'it was taken back, which is not waited for')
  told.takeIn()
  await turn()
  t.deepEqual(settled, ['f'])
  told.takeIn()
  await turn()
  t.deepEqual(settled, ['f', 'g'])
  told.takeIn()
  await turn()
  t.deepEqual(settled, ['f', 'g', 'no f'])
  t.false(exposed.isWaiting())
})

test('after a reconnect all is told again, and who waits does so for all of it', async (t) => {
  const told = new Told()
  const { exposed, known } = told
  const names = Array.from({ length: 300 }, (_, at) => `f${at}`)
  const settled = log({ names: exposed.change(names, [], known), more: exposed.change(['g'], [], known) })
  told.takeIn()
  await turn()
  t.deepEqual(settled, [], 'the second part is on its way')
  known.clear()
  told.messages.length = 0
  exposed.tellAll()
  t.deepEqual(
    told.messages.flatMap(({ add }) => add),
    [...names, 'g'],
  )
  told.takeIn()
  await turn()
  t.deepEqual(settled, [])
  told.takeIn()
  await turn()
  t.deepEqual(settled, ['names', 'more'])
})

test('what the grant does not name is refused, and nobody behind it waits for that', async (t) => {
  const told = new Told()
  const { exposed, known } = told
  exposed.restrict(['f*'])
  const settled = log({ g: exposed.change(['g'], [], known), f: exposed.change(['f'], [], known) })
  told.takeIn()
  await turn()
  t.deepEqual(settled, ['g: UnauthorizedError', 'f'])
  t.deepEqual([...known], ['f'])
})

test('at the end nobody waits any more', async (t) => {
  const { exposed, known } = new Told()
  const waiting = exposed.change(['f'], [], known)
  exposed.close()
  await t.throwsAsync(waiting, { code: 'ERR_STOPPED' })
})
