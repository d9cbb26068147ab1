/**
 * What can be seen of the system from outside, as it happens: what is published, loaded, served, sent
 * and left on a disk. Checkers know this and nothing else.
 */

export interface ServedModelSeen {
  readonly model: string
  readonly current: string | null
  readonly candidate: string | null
}

export type Observation =
  /** Publishers signed a release that holds this file. */
  | { readonly kind: 'published'; readonly sha256: string }
  /** A runtime gave these bytes to its model loader. */
  | { readonly kind: 'loaded'; readonly device: string; readonly sha256: string }
  /** A runtime serves this plan. */
  | {
      readonly kind: 'serving'
      readonly device: string
      readonly generation: number
      readonly models: readonly ServedModelSeen[]
    }
  /** Requests that a runtime handed over as counted, once each. */
  | { readonly kind: 'counted'; readonly device: string; readonly requests: number }
  /** The power of a device went; what a start would find on its disk: models that could serve. */
  | {
      readonly kind: 'powerCut'
      readonly device: string
      readonly generation: number
      readonly servable: readonly string[]
    }
  /** Installed files of a device were damaged by the world: it may have nothing left. */
  | { readonly kind: 'rotted'; readonly device: string }
  /** The controller sent a device its assignment. */
  | {
      readonly kind: 'assigned'
      readonly device: string
      readonly directorEpoch: number
      readonly generation: number
    }

export type Observe = (observation: Observation) => void
