/** The calls under way between nodes in memory: docs/protocol.md, "A call, step by step". */

/** A call under way at a node: its number there, and whose it is under which number. */
export interface Ticket<Member> {
  readonly slot: number
  readonly generation: number
  readonly caller: Member
  readonly callerSlot: number
  readonly callerGeneration: number
  readonly callee: Member
  /** A cancel has passed: nothing else of the caller does. */
  isCancelled: boolean
}

/** The calls under way at one node, by the slot that the controller allotted. */
export class Tickets<Member> {
  readonly #live = new Map<number, Ticket<Member>>()
  readonly #generations: number[] = []
  readonly #free: number[] = []

  get count(): number {
    return this.#live.size
  }

  /** Takes a slot for a call; `null` when as many are under way as may be. */
  issue(call: Omit<Ticket<Member>, 'slot' | 'generation' | 'isCancelled'>): Ticket<Member> | null {
    if (this.#live.size >= MAX_TICKETS) return null
    const slot = this.#free.pop() ?? this.#generations.length
    const generation = (this.#generations[slot] ?? 0) + 1
    this.#generations[slot] = generation
    const ticket = { ...call, slot, generation, isCancelled: false }
    this.#live.set(slot, ticket)
    return ticket
  }

  find(slot: number, generation: number): Ticket<Member> | undefined {
    const ticket = this.#live.get(slot)
    return ticket?.generation === generation ? ticket : undefined
  }

  release(ticket: Ticket<Member>): void {
    if (this.#live.get(ticket.slot) !== ticket) return
    this.#live.delete(ticket.slot)
    this.#free.push(ticket.slot)
  }

  all(): Ticket<Member>[] {
    return [...this.#live.values()]
  }
}

/** As at a real controller. */
const MAX_TICKETS = 65_536
