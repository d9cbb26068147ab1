/**
 * Recent predictions by request id, so that the truth can join them later. Bounded: the oldest is
 * forgotten first, and feedback for it is refused. A prediction is counted once.
 */
export interface RememberedPrediction {
  readonly sha256: string
  readonly classIndex: number
}

export interface LabelTable {
  remember(id: string, prediction: RememberedPrediction): void
  /** Forgets it too, so that a repeated label counts once. */
  take(id: string): RememberedPrediction | undefined
}

export function createLabelTable(entriesMax: number): LabelTable {
  // A Map keeps insertion order, so its first key is the oldest.
  const entries = new Map<string, RememberedPrediction>()
  return {
    remember(id, prediction) {
      entries.delete(id)
      entries.set(id, prediction)
      if (entries.size <= entriesMax) return
      const oldest = entries.keys().next()
      if (!oldest.done) entries.delete(oldest.value)
    },
    take(id) {
      const found = entries.get(id)
      entries.delete(id)
      return found
    },
  }
}
