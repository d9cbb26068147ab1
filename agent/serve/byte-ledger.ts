/**
 * Bytes that this process holds for clients: of requests that are still coming in, of answers that
 * were not read yet. Past the limit the connection that has held on longest is cut, so that whoever
 * sends or reads slowly, by weakness or intent, cannot keep the memory from those who do not.
 * Invariant: right after each `add` the sum is within the limit, or only the newest holder is left.
 */

export interface Holder {
  add(bytes: number): void
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

export function createByteLedger(bytesMax: number): ByteLedger {
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
      return {
        add(bytes) {
          if (isOver) return
          const own = holders.get(key) ?? { bytes: 0, cut: giveUp }
          holders.set(key, own)
          own.bytes += bytes
          held += bytes
          makeRoom(key)
        },
        leave() {
          isOver = true
          leave(key)
        },
      }
    },
  }
}
