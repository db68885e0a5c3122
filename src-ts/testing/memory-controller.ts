import { WireCode } from '../errors.js'
import { Flag, Kind } from '../native/frame.js'
import { decodeFrom } from '../payload/decode.js'
import { bodyOf, controlOf, field, flagsOf, frameOf, kindOf, type Parcel, setField, setFlags } from './memory-frames.js'
import { MemoryRegistry, NO_CHANGE, type Registration } from './memory-registry.js'
import { type Ticket, Tickets } from './memory-tickets.js'

/** A connected node as the controller sees it. */
export class Member {
  readonly index: number
  readonly deliver: (parcel: Parcel) => void
  /** Calls that it has. */
  readonly tickets: Tickets<Member> = new Tickets()
  /** Calls that it waits for, by its own slot. */
  readonly calls: Map<number, Ticket<Member>> = new Map()
  /** It has said goodbye: it gets nothing new. */
  isDraining = false

  constructor(index: number, deliver: (parcel: Parcel) => void) {
    this.index = index
    this.deliver = deliver
  }
}

/** What `crates/core/src/controller` does, for nodes of one process: tells who is there, and swaps slots on the way. */
export class MemoryController {
  readonly #registry = new MemoryRegistry()
  readonly #members = new Map<number, Member>()
  /** Breaks ties: in turn, so that a test goes the same way each time. */
  #turn = 0

  /** Welcomes a node; `null` when its name is in use. */
  join(name: string, deliver: (parcel: Parcel) => void): Member | null {
    if (this.#registry.hasNode(name)) return null
    const member = new Member(this.#registry.join(name), deliver)
    const snapshot = this.#registry.snapshot()
    this.#tell(controlOf(Kind.RegistryChange, { ...NO_CHANGE, joined: [[member.index, name]] }))
    this.#members.set(member.index, member)
    // As the native half hands it over: what the registry holds comes behind the welcome.
    deliver({ frame: controlOf(Kind.Welcome, { node: member.index, controller: '', local: true }), big: null })
    for (const change of snapshot) deliver({ frame: controlOf(Kind.RegistryChange, change), big: null })
    return member
  }

  /** The connection of a node has ended: those who wait for it are told, and those who work for it. */
  leave(member: Member): void {
    this.#members.delete(member.index)
    this.#registry.leave(member.index)
    for (const ticket of member.tickets.all()) {
      this.#release(ticket)
      if (ticket.caller === member) continue
      this.#answer(ticket.caller, ticket.callerSlot, ticket.callerGeneration, WireCode.NodeLost, member.index)
    }
    for (const ticket of member.calls.values()) {
      if (ticket.isCancelled) continue
      ticket.isCancelled = true
      const { slot, generation } = ticket
      ticket.callee.deliver({
        frame: frameOf(Kind.Cancel, { node: member.index, slot, generation, callback: WireCode.NodeLost }),
        big: null,
      })
    }
    this.#tell(controlOf(Kind.RegistryChange, { ...NO_CHANGE, left: [member.index] }))
  }

  /** A frame of a node: forwards it with its header rewritten, answers it, or lets it end here. */
  take(from: Member, parcel: Parcel): void {
    const { frame } = parcel
    switch (kindOf(frame)) {
      case Kind.Register: {
        const { payload } = bodyOf(frame)
        const registration = decodeFrom(payload, 0, payload.length, null) as Registration
        this.#tell(controlOf(Kind.RegistryChange, this.#registry.register(from.index, registration)))
        break
      }
      case Kind.Goodbye:
        from.isDraining = true
        from.deliver({ frame: controlOf(Kind.Goodbye, { reason: 'No new calls will come.' }), big: null })
        break
      case Kind.Request:
      case Kind.Transfer:
        this.#request(from, parcel)
        break
      case Kind.Cancel:
      case Kind.CallerItems:
      case Kind.CallerCredit:
        this.#toCallee(from, parcel)
        break
      case Kind.Response:
      case Kind.CalleeItems:
      case Kind.CalleeCredit:
        this.#toCaller(from, parcel)
        break
    }
  }

  #request(from: Member, parcel: Parcel): void {
    const { frame } = parcel
    const isSilent = (flagsOf(frame) & Flag.NoReply) !== 0
    const callerSlot = field(frame, 'slot')
    const callerGeneration = field(frame, 'generation')
    let callee = this.#choose(from, frame)
    if (callee instanceof Member) {
      setFlags(frame, flagsOf(frame) | Flag.Local)
      setField(frame, 'node', from.index)
      if (isSilent) {
        callee.deliver(parcel)
        return
      }
      const ticket = callee.tickets.issue({ caller: from, callerSlot, callerGeneration, callee })
      if (ticket !== null) {
        from.calls.set(callerSlot, ticket)
        setField(frame, 'slot', ticket.slot)
        setField(frame, 'generation', ticket.generation)
        callee.deliver(parcel)
        return
      }
      callee = WireCode.Overloaded
    }
    if (!isSilent) this.#answer(from, callerSlot, callerGeneration, callee, 0)
  }

  /** The pinned node, or the one with the fewest calls of those that expose the callback; an error code for none. */
  #choose(from: Member, frame: Buffer): Member | number {
    const pinned = field(frame, 'node')
    if (pinned !== 0 || kindOf(frame) === Kind.Transfer) {
      const member = this.#members.get(pinned)
      if (member === undefined) return WireCode.NoSuchNode
      return member.isDraining ? WireCode.Draining : member
    }
    const others = this.#registry
      .exposers(field(frame, 'callback'))
      .flatMap((index) => this.#members.get(index) ?? [])
      .filter((member) => member !== from && !member.isDraining)
    const fewest = Math.min(...others.map((member) => member.tickets.count))
    const equals = others.filter((member) => member.tickets.count === fewest)
    return equals[this.#turn++ % equals.length] ?? WireCode.NoCandidate
  }

  /** What a caller sends behind its request goes the same way, until it cancels. */
  #toCallee(from: Member, parcel: Parcel): void {
    const { frame } = parcel
    const ticket = from.calls.get(field(frame, 'slot'))
    if (ticket?.callerGeneration !== field(frame, 'generation') || ticket.isCancelled) return
    ticket.isCancelled = kindOf(frame) === Kind.Cancel
    setField(frame, 'node', from.index)
    setField(frame, 'slot', ticket.slot)
    setField(frame, 'generation', ticket.generation)
    ticket.callee.deliver(parcel)
  }

  /** What a callee sends goes to the caller; an answer is the last. */
  #toCaller(from: Member, parcel: Parcel): void {
    const { frame } = parcel
    const ticket = from.tickets.find(field(frame, 'slot'), field(frame, 'generation'))
    if (ticket === undefined) return
    if (kindOf(frame) === Kind.Response) this.#release(ticket)
    if (!this.#members.has(ticket.caller.index)) return
    setField(frame, 'node', from.index)
    setField(frame, 'slot', ticket.callerSlot)
    setField(frame, 'generation', ticket.callerGeneration)
    ticket.caller.deliver(parcel)
  }

  #release(ticket: Ticket<Member>): void {
    ticket.callee.tickets.release(ticket)
    if (ticket.caller.calls.get(ticket.callerSlot) === ticket) ticket.caller.calls.delete(ticket.callerSlot)
  }

  #answer(to: Member, slot: number, generation: number, code: number, node: number): void {
    if (!this.#members.has(to.index)) return
    to.deliver({ frame: frameOf(Kind.Response, { node, slot, generation, callback: code }), big: null })
  }

  #tell(frame: Buffer): void {
    for (const member of this.#members.values()) member.deliver({ frame, big: null })
  }
}
