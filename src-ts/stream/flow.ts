/** What both ends of a stream agree on: how far a sender may go ahead of who takes its items. */

/** Items that may be under way from the start, and beyond those that were taken: `docs/protocol.md`, "Streams". */
export const WINDOW_ITEMS = 4096

/** Items taken after which the sender is let on: it goes on making the next while these are read. */
export const CREDIT_ITEMS: number = WINDOW_ITEMS / 2

/** A sender waits when this many bytes are under way, so that large items fill no memory. */
export const WINDOW_BYTES: number = 1024 * 1024

/** Most items a frame: a slow item does not wait for many others. */
export const FRAME_ITEMS = 256

/** Bytes that a frame of several items should have: small calls pass between frames. */
export const FRAME_BYTES: number = 32 * 1024

/** How long items may be made or taken at a stretch before others have their turn (RELIABILITY L5). */
export const SLICE_MS = 4

/** Resolves when the event loop has been around. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

/** A count that travels as its lower 32 bits, put together again from where it was. */
export function widen(before: number, wire: number): number {
  return before + ((wire - before) | 0)
}

/** Why a frame of items was not sent; nothing of it was. */
export interface NotSent {
  readonly error: unknown
}

/** Rejects a stream whose item cannot travel; `cause` says why. */
export class ItemsNotSent extends Error {}

/** The items are too many bytes for one frame: fewer at a time. */
export const TOO_MANY: unique symbol = Symbol('too many')

/** There is no room for a large item now. */
export const NO_ROOM: unique symbol = Symbol('no room')

/** An error names an item by its place in a frame that it has alone; who reads it knows only that in the stream. */
export function nameItem(error: unknown, index: number): void {
  if (error instanceof Error) error.message = error.message.replace('items[0]', `items[${index}]`)
}

/** How one stream of one call reaches the other side. */
export interface ItemPort {
  /** Whether items may be sent now; else {@link ItemPort.room} tells when to look again. */
  readonly isFree: boolean
  readonly room: Promise<void>
  /**
   * Sends items, the first of number `first`; `last` says that none follow.
   *
   * @returns The bytes of their frame, or why there is none.
   */
  send(first: number, items: readonly unknown[], last: boolean): number | NotSent | typeof TOO_MANY
  /** Sends one item that needs more than a frame. */
  sendLarge(first: number, item: unknown): NotSent | typeof NO_ROOM | undefined
  /** Has `again` called once, when there is room after {@link NO_ROOM}. */
  whenRoom(again: () => void): void
  /** Lets the other side send items up to this number. */
  credit(limit: number): void
}
