/**
 * What must never happen, each as a small machine over observations (simulation.md, safety).
 * They share no code with what they check, and once violated they stay violated.
 */
import type { Observation } from './observations.ts'

export interface Violation {
  /** `S1`, `S4` ... of simulation.md. */
  readonly checker: string
  readonly message: string
}

export interface Checker {
  readonly name: string
  /** @returns what is wrong, if anything. */
  see(observation: Observation): string | undefined
}

/** S1: no device ever loads bytes that a release signature does not cover. */
export function signedBytesChecker(): Checker {
  const published = new Set<string>()
  return {
    name: 'S1',
    see(seen) {
      if (seen.kind === 'published') published.add(seen.sha256)
      if (seen.kind !== 'loaded' || published.has(seen.sha256)) return undefined
      return `${seen.device} loaded ${seen.sha256.slice(0, 12)}, which nobody published`
    },
  }
}

/**
 * S4: a device that had a release of a model always has one that it can serve: in what its runtime
 * serves, and on the disk that a power cut leaves. Devices whose files the world damaged are let off.
 */
export function servableChecker(): Checker {
  const had = new Map<string, Set<string>>()
  const excused = new Set<string>()
  return {
    name: 'S4',
    see(seen) {
      if (seen.kind === 'rotted') excused.add(seen.device)
      if (seen.kind !== 'serving' && seen.kind !== 'powerCut') return undefined
      if (excused.has(seen.device)) return undefined
      const models = had.get(seen.device) ?? new Set()
      had.set(seen.device, models)
      const left =
        seen.kind === 'serving'
          ? seen.models.filter((entry) => entry.current !== null).map((entry) => entry.model)
          : seen.servable
      const missing = [...models].filter((model) => !left.includes(model))
      if (seen.kind === 'serving') for (const model of left) models.add(model)
      if (missing.length === 0) return undefined
      const where = seen.kind === 'serving' ? 'serves' : 'has on its disk'
      return `${seen.device} ${where} no release of ${missing.join(', ')} any more`
    },
  }
}

/** S6: what a device serves, keeps on disk and is sent never goes back to a lower generation. */
export function generationChecker(): Checker {
  const greatest = new Map<string, number>()
  const rises = (key: string, value: number): number | undefined => {
    const before = greatest.get(key) ?? -1
    greatest.set(key, Math.max(before, value))
    return value < before ? before : undefined
  }
  return {
    name: 'S6',
    see(seen) {
      if (seen.kind === 'serving' || seen.kind === 'powerCut') {
        const before = rises(`device/${seen.device}`, seen.generation)
        if (before === undefined) return undefined
        return `${seen.device} went back from generation ${before} to ${seen.generation}`
      }
      if (seen.kind !== 'assigned') return undefined
      const order = seen.directorEpoch * 2 ** 40 + seen.generation
      if (rises(`controller/${seen.device}`, order) === undefined) return undefined
      return `the controller sent ${seen.device} the older generation ${seen.generation}`
    },
  }
}

export function safetyCheckers(): Checker[] {
  return [signedBytesChecker(), servableChecker(), generationChecker()]
}

/** Runs all checkers over everything seen; keeps the first violation of each. */
export class Watch {
  readonly #checkers: readonly Checker[]
  readonly #violations = new Map<string, Violation>()

  constructor(checkers: readonly Checker[] = safetyCheckers()) {
    this.#checkers = checkers
  }

  see(observation: Observation): void {
    for (const checker of this.#checkers) {
      const message = checker.see(observation)
      if (message !== undefined) this.violate(checker.name, message)
    }
  }

  violate(checker: string, message: string): void {
    if (!this.#violations.has(checker)) this.#violations.set(checker, { checker, message })
  }

  violations(): readonly Violation[] {
    return [...this.#violations.values()]
  }
}
