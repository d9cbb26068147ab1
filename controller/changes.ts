/**
 * What changed, for whoever watches: console and CLI hear of it and ask again. At most 1,000 changes
 * are remembered; a listener that was away longer gets what is left and must ask for everything,
 * which it does on connecting anyway.
 */
import type { Change } from './application.ts'

const REMEMBERED_MAX = 1_000

export interface Changes {
  note(kind: Change['kind'], subject: string): void
  subscribe(sinceId: number | undefined, onChange: (change: Change) => void): () => void
}

/** Ids start at the time of the start, so that they grow over restarts too. */
export function createChanges(startedAtMs: number): Changes {
  const remembered: Change[] = []
  const listeners = new Set<(change: Change) => void>()
  let lastId = startedAtMs

  return {
    note(kind, subject) {
      const change: Change = { id: ++lastId, kind, subject }
      remembered.push(change)
      if (remembered.length > REMEMBERED_MAX) remembered.shift()
      for (const listener of listeners) listener(change)
    },
    subscribe(sinceId, onChange) {
      if (sinceId !== undefined) {
        for (const change of remembered) if (change.id > sinceId) onChange(change)
      }
      listeners.add(onChange)
      return () => void listeners.delete(onChange)
    },
  }
}
