/** Tells on standard error what runs, and how long all of it will take. */
export class Progress {
  readonly #all: number
  readonly #expected: number
  readonly #start = performance.now()
  #done = 0

  /** @param expected - Seconds of a measurement, before the first ones are known. */
  constructor(all: number, expected: number) {
    this.#all = all
    this.#expected = expected
    process.stderr.write(`${all} measurements, ${duration(all * expected)}\n`)
  }

  begin(what: readonly string[]): void {
    const seconds = (performance.now() - this.#start) / 1000
    const each = this.#done < 5 ? this.#expected : seconds / this.#done
    const left = duration(each * (this.#all - this.#done))
    const words = what.filter((word) => word !== '').join(' ')
    process.stderr.write(`[${this.#done + 1}/${this.#all}] ${words}; ${left} left\n`)
  }

  end(): void {
    this.#done += 1
  }
}

function duration(seconds: number): string {
  return seconds < 60
    ? `about ${Math.ceil(seconds)} s`
    : `about ${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`
}
