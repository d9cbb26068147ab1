/**
 * Merges device windows into cells per (rollout, wave, share, model, version, arm, profile, shape,
 * minute): what is stored grows with cohorts and minutes, not with devices.
 *
 * Invariants: both arms of a message are merged in one go or not at all; a cell is read from the
 * store before the first merge of this process, so that a restart adds to what is there. At most
 * 20,000 cells stay in memory; the ones that were not used longest leave first.
 */
import { ok, type Result } from '../shared/kernel/result.ts'
import { mergeWindows, type Window } from '../shared/sketch/window.ts'
import { type Store, type StoredWindow, type WindowKey, windowKeyText } from './db/store.ts'
import type { Ledger } from './ledger.ts'

const CELLS_MAX = 20_000

/** One arm's window and where it belongs. */
export interface Placed {
  readonly key: WindowKey
  readonly window: Window
}

export interface WindowCells {
  /** Reads what `merge` adds to. @throws when the store cannot be read */
  load(placed: readonly Placed[]): Promise<void>
  /**
   * Right after `load` of the same. Errors: `window.shape_mismatch`, `window.overflow`; nothing is
   * merged then.
   */
  merge(placed: readonly Placed[]): Result<undefined>
  /** Cells of this minute that are in memory. */
  ofMinute(minute: number): StoredWindow[]
}

export function createWindowCells(parts: {
  readonly ledger: Ledger
  readonly store: Pick<Store, 'window'>
}): WindowCells {
  const { ledger, store } = parts
  /** In the order of their last use. */
  const cells = new Map<string, StoredWindow>()

  function keep(text: string, cell: StoredWindow): void {
    cells.delete(text)
    cells.set(text, cell)
    if (cells.size <= CELLS_MAX) return
    const oldest = cells.keys().next().value
    if (oldest !== undefined) cells.delete(oldest)
  }

  return {
    async load(placed) {
      for (const { key } of placed) {
        const text = windowKeyText(key)
        const cell = cells.get(text) ?? (await store.window(key))
        if (cell !== undefined) keep(text, cell)
      }
    },
    merge(placed) {
      const merged: StoredWindow[] = []
      for (const { key, window } of placed) {
        const found = cells.get(windowKeyText(key))
        const sum = found === undefined ? ok(window) : mergeWindows(found.window, window)
        if (!sum.ok) return sum
        merged.push({ ...key, messages: (found?.messages ?? 0) + 1, window: sum.value })
      }
      for (const cell of merged) {
        keep(windowKeyText(cell), cell)
        ledger.put('windows', cell)
      }
      return ok()
    },
    ofMinute: (minute) => [...cells.values()].filter((cell) => cell.minute === minute),
  }
}
