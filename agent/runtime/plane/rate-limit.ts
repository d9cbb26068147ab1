/**
 * How often a model answers, by the signed policy of its releases: who may ask without bound can copy
 * the model, invert it or learn who was in its training data (Tramèr et al. 2016; Fredrikson et al.
 * 2015; Shokri et al. 2017). One token bucket for each model, on the plane's monotonic clock.
 *
 * Invariants: within any t minutes at most `burst + t * perMinute` rows pass (a request is one, but
 * where its manifest says which dimension is the batch), whatever plans come in between; a refused
 * request takes nothing. A new host starts with a full bucket.
 */
import { ok, type Result, refuse } from '../../../shared/kernel/result.ts'
import { declaredRowAxis, rowsAlong } from '../../../shared/model/batch.ts'
import type { Manifest } from '../../../shared/model/manifest.ts'
import type { TensorValue } from '../../../shared/model/tensor-value.ts'

export interface RatePolicy {
  readonly perMinute: number
  readonly burst: number
}

export interface RateLimits {
  /** Errors: `infer.rate_limited`, with the whole seconds after which another try may pass. */
  take(model: string, policy: RatePolicy, rows: number): Result<undefined>
}

interface Bucket {
  tokens: number
  atMs: number
}

const MINUTE_MS = 60_000
/** Of one burst where the policy names none: what six seconds allow. */
const BURST_SHARE = 0.1
/** Models with a policy; the one that was first asked first is forgotten first. */
const MODELS_MAX = 1_024

export function createRateLimits(nowMs: () => number): RateLimits {
  const buckets = new Map<string, Bucket>()

  function bucketOf(model: string, { burst }: RatePolicy, atMs: number): Bucket {
    const found = buckets.get(model)
    if (found !== undefined) return found
    const oldest = buckets.keys().next()
    if (buckets.size >= MODELS_MAX && !oldest.done) buckets.delete(oldest.value)
    const fresh = { tokens: burst, atMs }
    buckets.set(model, fresh)
    return fresh
  }

  return {
    take(model, policy, rows) {
      if (rows > policy.burst) return refuseRows(policy, rows)
      const atMs = nowMs()
      const bucket = bucketOf(model, policy, atMs)
      const gained = ((atMs - bucket.atMs) * policy.perMinute) / MINUTE_MS
      bucket.tokens = Math.min(policy.burst, bucket.tokens + gained)
      bucket.atMs = atMs
      if (bucket.tokens < rows) return refuseRate(policy, rows - bucket.tokens)
      bucket.tokens -= rows
      return ok()
    },
  }
}

/** The strictest policy of the releases that answer for one model; undefined: no limit. */
export function ratePolicyOf(
  manifests: readonly Pick<Manifest, 'disclosure'>[],
): RatePolicy | undefined {
  const policies = manifests.flatMap(({ disclosure }) => {
    const perMinute = disclosure?.requestsPerMinuteMax
    if (perMinute === undefined) return []
    const burst = disclosure?.requestsBurstMax ?? Math.max(1, Math.ceil(perMinute * BURST_SHARE))
    return [{ perMinute, burst }]
  })
  if (policies.length === 0) return undefined
  return {
    perMinute: Math.min(...policies.map(({ perMinute }) => perMinute)),
    burst: Math.min(...policies.map(({ burst }) => burst)),
  }
}

/** What a request asks to be answered: as many rows as it has, at least one. */
export function rowsIn(specs: Manifest['inputs'], inputs: readonly TensorValue[]): number {
  return rowsAlong(declaredRowAxis(specs), inputs)
}

function refuseRate({ perMinute, burst }: RatePolicy, lacking: number): Result<never> {
  const waitMs = (lacking * MINUTE_MS) / perMinute
  return refuse('infer.rate_limited', 'This model answers only so many requests.', {
    expected: `at most ${perMinute} requests a minute, ${burst} at once`,
    found: 'more',
    next: `try again in ${Math.max(1, Math.ceil(waitMs / 1_000))} s`,
  })
}

/** It would never pass, however long its sender waits. */
function refuseRows({ perMinute, burst }: RatePolicy, rows: number): Result<never> {
  return refuse('infer.rate_limited', 'The request has more rows than may be asked at once.', {
    expected: `at most ${perMinute} rows a minute, ${burst} at once`,
    found: `${rows} rows`,
    next: 'send them in several requests',
  })
}
