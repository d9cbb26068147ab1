/**
 * How many model hosts there should be. Pure: samples in, at most one step up or down out, with its
 * reason. The policy: more than 70 % utilised, or more than 10 requests in line, is one host more;
 * under 30 % for five minutes is one fewer; always within the limits and the memory there is.
 *
 * Invariants: between two steps at least `coolDownMs` pass, so that a step shows its effect first;
 * the number never leaves [hostsMin, hostsMax]; no step without a reason.
 */

/** What the hosts did since the sample before. */
export interface LoadSample {
  readonly atMs: number
  /** Hosts that take requests. */
  readonly hosts: number
  /** Share of the time in which a host had at least one request, mean over the hosts, in [0, 1]. */
  readonly utilisation: number
  /** Requests beyond those that run: in line, here or in a host. */
  readonly queued: number
  /** Memory that one host more may take; below 0 the hosts there are take too much. */
  readonly freeMb: number
  /** What a host takes, the largest of those there are. */
  readonly hostMb: number
}

export interface ScalingLimits {
  readonly hostsMin: number
  readonly hostsMax: number
  /** Absent: that of the policy. */
  readonly pace?: ScalingPace
}

interface ScalingPace {
  readonly coolDownMs: number
  /** Idle for so long is one host fewer. */
  readonly idleMs: number
  /** Over which utilisation is averaged. */
  readonly meanMs: number
}

export interface ScalingState {
  readonly steppedAtMs: number
  /** Since when all samples were below the lower limit. */
  readonly idleSinceMs: number | null
  /** Since when the hosts take more memory than they may. */
  readonly overSinceMs: number | null
  /** Exponentially weighted over `meanMs`, so that one burst is no load. */
  readonly utilisation: number
  readonly sampledAtMs: number
  /** A step up that memory forbade was told. */
  readonly heldBack: boolean
}

export type ScalingStep =
  | { readonly kind: 'stay' }
  | { readonly kind: 'up' | 'down'; readonly hosts: number; readonly reason: string }
  /** Another host is needed, and does not fit. Told once until it fits or is not needed. */
  | { readonly kind: 'held'; readonly hosts: number; readonly reason: string }

const UTILISATION_UP = 0.7
const UTILISATION_DOWN = 0.3
const QUEUE_UP = 10
const PACE: ScalingPace = { coolDownMs: 15_000, idleMs: 300_000, meanMs: 10_000 }

export function startScaling(atMs: number): ScalingState {
  return {
    steppedAtMs: atMs,
    idleSinceMs: null,
    overSinceMs: null,
    utilisation: 0,
    sampledAtMs: atMs,
    heldBack: false,
  }
}

export function scale(
  before: ScalingState,
  sample: LoadSample,
  limits: ScalingLimits,
): { readonly state: ScalingState; readonly step: ScalingStep } {
  const { coolDownMs, idleMs, meanMs } = limits.pace ?? PACE
  const state = observe(before, sample, meanMs)
  const { hosts, queued, atMs } = sample
  // A number outside the limits was set by someone; it is led back in at once.
  if (hosts < limits.hostsMin) return step(state, sample, 'up', 'fewer hosts than the least')
  const isCool = atMs - state.steppedAtMs >= coolDownMs
  // A swap holds two releases for a moment; what lasts longer is too much.
  const isOver = state.overSinceMs !== null && atMs - state.overSinceMs >= coolDownMs
  if (isOver && isCool && hosts > limits.hostsMin) {
    return step(state, sample, 'down', `${(-sample.freeMb).toFixed(0)} MB over the memory there is`)
  }
  const isBusy = state.utilisation > UTILISATION_UP
  const isLong = queued > QUEUE_UP
  if (isBusy || isLong) {
    if (hosts >= limits.hostsMax || !isCool) return { state, step: { kind: 'stay' } }
    const why = isBusy
      ? `utilisation ${percent(state.utilisation)} over ${percent(UTILISATION_UP)}`
      : `${queued} requests in line, over ${QUEUE_UP}`
    return sample.hostMb > sample.freeMb
      ? holdBack(state, sample, why)
      : step(state, sample, 'up', why)
  }
  const calm = { ...state, heldBack: false }
  const isIdle = state.idleSinceMs !== null && atMs - state.idleSinceMs >= idleMs
  if (!isIdle || hosts <= limits.hostsMin || !isCool) {
    return { state: calm, step: { kind: 'stay' } }
  }
  const why = `utilisation under ${percent(UTILISATION_DOWN)} for ${idleMs / 60_000} minutes`
  return step(calm, sample, 'down', why)
}

function observe(
  state: ScalingState,
  { atMs, utilisation, freeMb }: LoadSample,
  meanMs: number,
): ScalingState {
  const weight = 1 - Math.exp(-Math.max(0, atMs - state.sampledAtMs) / meanMs)
  const mean = state.utilisation + weight * (utilisation - state.utilisation)
  const isIdle = mean < UTILISATION_DOWN
  return {
    ...state,
    utilisation: mean,
    sampledAtMs: atMs,
    idleSinceMs: isIdle ? (state.idleSinceMs ?? atMs) : null,
    overSinceMs: freeMb < 0 ? (state.overSinceMs ?? atMs) : null,
  }
}

function step(
  state: ScalingState,
  { atMs, hosts }: LoadSample,
  kind: 'up' | 'down',
  why: string,
): ReturnType<typeof scale> {
  const next = hosts + (kind === 'up' ? 1 : -1)
  return {
    // The same work over another number of hosts: what was measured no longer holds.
    state: {
      ...state,
      utilisation: (state.utilisation * hosts) / Math.max(1, next),
      steppedAtMs: atMs,
      idleSinceMs: null,
      overSinceMs: null,
      heldBack: false,
    },
    step: { kind, hosts: next, reason: `${hosts} to ${next} hosts: ${why}` },
  }
}

function holdBack(state: ScalingState, sample: LoadSample, why: string): ReturnType<typeof scale> {
  if (state.heldBack) return { state, step: { kind: 'stay' } }
  const { hosts, hostMb, freeMb } = sample
  const reason = `${hosts} hosts stay: ${why}, but one more takes ${hostMb.toFixed(0)} MB of ${freeMb.toFixed(0)} MB free`
  return { state: { ...state, heldBack: true }, step: { kind: 'held', hosts, reason } }
}

function percent(share: number): string {
  return `${Math.round(100 * share)} %`
}
