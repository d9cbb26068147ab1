/**
 * What can go wrong, each with an intensity in [0, 1] that the seed draws: about half of the kinds
 * are fully off, the others anything up to wild. A plan is a plain record, so that a failing one can
 * be shrunk kind by kind and kept in seeds.jsonl.
 */
import type { Prng } from '../../shared/kernel/prng.ts'

export const FAULT_KINDS = [
  /** Messages between device and broker vanish although both believe in the connection. */
  'loss',
  'duplicates',
  /** Single messages are held back and overtaken. */
  'reordering',
  'delay',
  /** A device or a part of the fleet hears nothing for minutes. */
  'partition',
  /** A device loses its connection again and again. */
  'flapping',
  'broker_restart',
  /** Downloads that end early, with what arrived. */
  'truncated',
  'corrupted',
  'not_found',
  /** Downloads that never end. */
  'stalled',
  /** Power cut at any effect boundary of a device. */
  'power_cut',
  /** The k-th write is refused. */
  'disk_full',
  /** Installed files lose bits; a device may then have nothing left that it can serve. */
  'bit_rot',
  /** Wrong clocks: offset, drift and jumps. */
  'clock',
  /** The model host dies; the runtime starts it again. */
  'host_crash',
  /** Qualification fails for now. */
  'busy',
  /** The controller dies, also between its batch and its publishes, and starts again. */
  'controller_crash',
] as const
export type FaultKind = (typeof FAULT_KINDS)[number]

export type FaultPlan = Readonly<Record<FaultKind, number>>

export function planOf(intensity: (kind: FaultKind) => number): FaultPlan {
  const entries = FAULT_KINDS.map((kind) => [kind, intensity(kind)])
  return Object.fromEntries(entries) as FaultPlan
}

export const NO_FAULTS: FaultPlan = planOf(() => 0)

export function drawFaults(prng: Prng): FaultPlan {
  return planOf((kind) => {
    const stream = prng.split(kind)
    return stream.chance(0.5) ? 0 : Math.round(stream.unit() * 100) / 100
  })
}

export function activeKinds(plan: FaultPlan): FaultKind[] {
  return FAULT_KINDS.filter((kind) => plan[kind] > 0)
}

export function isFaultKind(text: string): text is FaultKind {
  return (FAULT_KINDS as readonly string[]).includes(text)
}

/** The faults in force now: none at first, the plan from `rise` on, none again once healed. */
export class Weather {
  readonly #planned: FaultPlan
  #plan = NO_FAULTS

  constructor(planned: FaultPlan) {
    this.#planned = planned
  }

  /** In [0, 1]; 0 is off. */
  of(kind: FaultKind): number {
    return this.#plan[kind]
  }

  rise(): void {
    this.#plan = this.#planned
  }

  heal(): void {
    this.#plan = NO_FAULTS
  }
}
