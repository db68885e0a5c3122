import { Child } from '../children.js'
import { crowdProgram, scaleProgram } from '../build.js'
import { firstFailure, freePorts, makeFolder, removeFolder } from '../measure.js'
import type { Place, Role, Transport } from '../peer.js'
import { loadPeer } from '../peers/index.js'
import { join } from 'node:path'

/** The processes of one point of a curve, and where they meet. */
export class Scene {
  readonly #peer: string
  readonly #place: Place
  readonly #children: Child[] = []

  private constructor(peer: string, place: Place) {
    this.#peer = peer
    this.#place = place
  }

  /** Runs `body` with fresh processes, and ends them whatever happens. Rejects with what went wrong first. */
  static async play<T>(peer: string, transport: Transport, body: (scene: Scene) => Promise<T>): Promise<T> {
    const place: Place = { transport, folder: makeFolder(), port: await freePorts(), workers: 1, index: 0 }
    const scene = new Scene(peer, place)
    try {
      return await body(scene)
    } catch (error) {
      throw (await firstFailure(scene.#children)) ?? error
    } finally {
      await Promise.all(scene.#children.map((child) => child.end()))
      removeFolder(place.folder)
    }
  }

  /** Starts a process of the contestant; the worker of index 0 is up before another process looks for its callbacks. */
  start(role: Role, index = 0): Promise<Child> {
    const place = { ...this.#place, index }
    return this.#spawn(role, [process.execPath, scaleProgram, this.#peer, role, JSON.stringify(place)])
  }

  /** Starts a process that holds idle connections of daffi. */
  startCrowd(label: string): Promise<Child> {
    return this.#spawn('caller', [process.execPath, crowdProgram, join(this.#place.folder, '.sock'), label])
  }

  async #spawn(role: Role, command: string[]): Promise<Child> {
    const child = await Child.start(await loadPeer(this.#peer), { role, command: () => command }, this.#place)
    this.#children.push(child)
    return child
  }
}
