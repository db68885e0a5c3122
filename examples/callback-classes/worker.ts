/** Exposes the methods of a class over the default UNIX socket. Start it first; it has the controller, too. */
import { alias, callback, Global, local } from 'daffi'

@callback
export class Greeter {
  readonly #greeting: string

  constructor(greeting: string) {
    this.#greeting = greeting
  }

  // A static method needs no instance.
  static version(): string {
    return '1.0'
  }

  greet(name: string): string {
    return this.#text(name)
  }

  // Others call it greetAll.
  @alias('greetAll')
  async greetEach(names: string[]): Promise<string[]> {
    return names.map((name) => this.#text(name))
  }

  // Public here, and still not callable by others.
  @local
  describe(): string {
    return `a greeter that says ${this.#greeting}`
  }

  // Nobody else sees this one.
  #text(name: string): string {
    return `${this.#greeting}, ${name}!`
  }
}

const greeter = new Greeter('Hello')
console.log(greeter.describe())

await new Global({ processName: 'worker', initController: true }).join()
