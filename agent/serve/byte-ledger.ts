/**
 * Bytes that this process holds for clients: of requests that are still coming in, of answers that
 * were not read yet. Past the limit the connection that has held on longest is cut, so that whoever
 * sends or reads slowly, by weakness or intent, cannot keep the memory from those who do not.
 * Invariant: right after each `add` the sum is within the limit, or only the newest holder is left.
 */

export interface Holder {
  add(bytes: number): void
  /** In place of what it held before; at 0 it is the newest again. */
  set(bytes: number): void
  /** Bytes it holds now. */
  held(): number
  /** Gives back what it holds; also after it was cut. */
  leave(): void
}

export interface ByteLedger {
  /** @param cut frees what the holder holds; called at most once. */
  enter(cut: () => void): Holder
  /** Bytes held now. */
  held(): number
  /** Connections that were cut for the sake of others. */
  cuts(): number
}

/** Of all connections together, in and out; a request that is read whole leaves it for the line. */
const HELD_BYTES_MAX = 256 * 1024 * 1024
/** An answer below this lies in the system's own buffers. */
export const LARGE_BYTES = 65_536

/** One for all doors of a process. */
export function createByteLedger(bytesMax = HELD_BYTES_MAX): ByteLedger {
  /** In order of arrival; only those that hold something. */
  const holders = new Map<object, { bytes: number; readonly cut: () => void }>()
  let held = 0
  let cuts = 0

  function leave(key: object): void {
    held -= holders.get(key)?.bytes ?? 0
    holders.delete(key)
  }

  function makeRoom(newest: object): void {
    for (const [key, { cut }] of holders) {
      if (held <= bytesMax || key === newest) return
      leave(key)
      cuts += 1
      cut()
    }
  }

  return {
    held: () => held,
    cuts: () => cuts,
    enter(cut) {
      const key = {}
      let isOver = false
      const giveUp = (): void => {
        isOver = true
        cut()
      }
      function add(bytes: number): void {
        if (isOver) return
        const own = holders.get(key) ?? { bytes: 0, cut: giveUp }
        holders.set(key, own)
        own.bytes += bytes
        held += bytes
        makeRoom(key)
      }
      return {
        add,
        held: () => holders.get(key)?.bytes ?? 0,
        set(bytes) {
          if (bytes === 0) leave(key)
          else add(bytes - (holders.get(key)?.bytes ?? 0))
        },
        leave() {
          isOver = true
          leave(key)
        },
      }
    },
  }
}
