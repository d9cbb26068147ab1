/** Which host takes the next request: shares, hosts that are slow, dead or back again, sessions. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  answered,
  BALANCE_POLICIES,
  type Backend,
  type BalancePolicy,
  type BalanceState,
  left,
  pick,
  refused,
  setBackends,
  startBalance,
  type Ticket,
} from '../../../shared/balance/balancer.ts'
import { createPrng } from '../../../shared/kernel/prng.ts'

const hosts = (weights: readonly number[], more: Partial<Backend> = {}): Backend[] =>
  weights.map((weight, i) => ({ id: `host-${i}`, life: 1, weight, takes: true, ...more }))
const balance = (policy: BalancePolicy, backends: readonly Backend[]): BalanceState =>
  setBackends(startBalance(policy), backends)
const first = (): number => 0

/** Picks `n` times at `nowMs`, each answered at once. */
function pickMany(from: BalanceState, n: number, nowMs = 0, draw: (n: number) => number = first) {
  let state = from
  const ids: string[] = []
  for (let i = 0; i < n; i++) {
    const picked = pick(state, nowMs, draw)!
    ids.push(picked.ticket.id)
    state = answered(picked.state, picked.ticket, nowMs)
  }
  return { state, ids }
}

const weightsArb = fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 6 })
const policyArb = fc.constantFrom(...BALANCE_POLICIES)

describe('Round robin and weights', () => {
  it('give each host exactly its weight over any window of as many picks as all weights', () => {
    fc.assert(
      fc.property(weightsArb, fc.integer({ min: 0, max: 50 }), (weights, start) => {
        const total = weights.reduce((sum, weight) => sum + weight)
        const { ids } = pickMany(balance('weighted', hosts(weights)), start + total)
        const counts = weights.map((_, i) => ids.slice(start).filter((id) => id === `host-${i}`))
        expect(counts.map(({ length }) => length)).toEqual(weights)
      }),
    )
  })

  it('never let a host lag behind its share by more than one round', () => {
    fc.assert(
      fc.property(weightsArb, fc.integer({ min: 1, max: 60 }), (weights, n) => {
        const total = weights.reduce((sum, weight) => sum + weight)
        const { ids } = pickMany(balance('weighted', hosts(weights)), n)
        for (const [i, weight] of weights.entries()) {
          const count = ids.filter((id) => id === `host-${i}`).length
          expect(Math.abs(count - (n * weight) / total)).toBeLessThan(weights.length)
        }
      }),
    )
  })

  it('spread a heavy host out instead of picking it in a row', () => {
    const { ids } = pickMany(balance('weighted', hosts([5, 1, 1])), 7)
    expect(ids.join(' ')).toBe('host-0 host-0 host-1 host-0 host-2 host-0 host-0')
  })

  it('round robin leaves weights out', () => {
    const { ids } = pickMany(balance('round-robin', hosts([5, 1, 1])), 6)
    expect(ids.join(' ')).toBe('host-0 host-1 host-2 host-0 host-1 host-2')
  })
})

/** Poisson arrivals over hosts that each serve one request at a time. */
function simulate(policy: BalancePolicy, serviceMs: readonly number[], gapMs: number, n: number) {
  const prng = createPrng(`balance/${policy}/${serviceMs.join()}`)
  let state = balance(policy, hosts(serviceMs.map(() => 1)))
  const freeAtMs = serviceMs.map(() => 0)
  const served = serviceMs.map(() => 0)
  let under: { ticket: Ticket; endMs: number; arrivedMs: number }[] = []
  const totalMs: number[] = []
  let nowMs = 0
  const finish = (untilMs: number): void => {
    const done = under.filter(({ endMs }) => endMs <= untilMs)
    under = under.filter(({ endMs }) => endMs > untilMs)
    for (const { ticket, endMs, arrivedMs } of done.toSorted((a, b) => a.endMs - b.endMs)) {
      state = answered(state, ticket, endMs)
      totalMs.push(endMs - arrivedMs)
    }
  }
  for (let i = 0; i < n; i++) {
    nowMs += prng.exponential(gapMs)
    finish(nowMs)
    const picked = pick(state, nowMs, prng.below)!
    state = picked.state
    const host = Number(picked.ticket.id.slice('host-'.length))
    served[host]! += 1
    freeAtMs[host] = Math.max(nowMs, freeAtMs[host]!) + serviceMs[host]!
    under.push({ ticket: picked.ticket, endMs: freeAtMs[host]!, arrivedMs: nowMs })
  }
  finish(Infinity)
  totalMs.sort((a, b) => a - b)
  const outstanding = state.backends.map((backend) => backend.outstanding)
  return {
    shares: served.map((count) => count / n),
    p99: totalMs[Math.floor(n * 0.99)]!,
    outstanding,
  }
}

describe('A slow host', () => {
  it.each(['least-connections', 'latency-aware'] as const)(
    'gets a share in proportion to its speed under load: %s',
    (policy) => {
      // 1/10 + 1/40 answers per ms can be given; 80 % of that arrives, so a share of 0.2 is fair.
      const { shares, outstanding } = simulate(policy, [10, 40], 10, 4_000)
      expect(shares[1]).toBeGreaterThan(0.1)
      expect(shares[1]).toBeLessThan(0.3)
      expect(outstanding).toEqual([0, 0])
    },
  )

  it('waits less in the tail than with round robin', () => {
    const slow = [5, 5, 50]
    const blind = simulate('round-robin', slow, 4, 3_000)
    for (const policy of ['least-connections', 'latency-aware'] as const) {
      expect(simulate(policy, slow, 4, 3_000).p99).toBeLessThan(blind.p99 / 2)
    }
  })

  it('is tried again once its slowness is forgotten', () => {
    let state = balance('latency-aware', hosts([1, 1]))
    const slow = pick(state, 0, () => 1)!
    state = answered(slow.state, slow.ticket, 900)
    const ids: string[] = []
    for (let nowMs = 1_000; nowMs < 60_000; nowMs += 100) {
      const picked = pick(state, nowMs, first)!
      ids.push(picked.ticket.id)
      state = answered(picked.state, picked.ticket, nowMs + 5)
    }
    const tried = ids.indexOf(slow.ticket.id)
    expect(tried).toBeGreaterThan(50)
    expect(ids.slice(tried).filter((id) => id === slow.ticket.id).length).toBeGreaterThan(50)
  })

  it('that stands still is avoided while another answers, and used again when it answers', () => {
    let state = balance('round-robin', hosts([1, 1]))
    const stuck = pick(state, 0, first)!
    state = pickMany(stuck.state, 1, 0).state
    const { ids } = pickMany(state, 6, 2_000)
    expect(new Set(ids)).toEqual(new Set(['host-1']))
    const back = answered(state, stuck.ticket, 2_000)
    // What it took counts as its usual time now, and round robin does not mind.
    expect(new Set(pickMany(back, 4, 2_100).ids)).toEqual(new Set(['host-0', 'host-1']))
  })

  it('is not taken for dead when its answers usually take as long', () => {
    let state = balance('round-robin', hosts([1, 1]))
    for (let i = 0; i < 2; i++) {
      const picked = pick(state, i * 3_000, first)!
      state = answered(picked.state, picked.ticket, i * 3_000 + 3_000)
    }
    const waiting = pick(state, 6_000, first)!.state
    expect(new Set(pickMany(waiting, 4, 9_000).ids)).toEqual(new Set(['host-0', 'host-1']))
  })
})

describe('A dead host', () => {
  it('is never picked while another takes requests, under any policy', () => {
    fc.assert(
      fc.property(
        policyArb,
        fc.array(fc.boolean(), { minLength: 1, maxLength: 6 }),
        fc.array(fc.nat(5), { minLength: 1, maxLength: 40 }),
        (policy, alive, draws) => {
          const backends = alive.map((takes, i) => hosts([1], { id: `host-${i}`, takes })[0]!)
          let state = balance(policy, backends)
          for (const [i, drawn] of draws.entries()) {
            const picked = pick(state, i, (bound) => drawn % bound)
            expect(picked === undefined).toBe(!alive.includes(true))
            if (picked === undefined) return
            expect(alive[Number(picked.ticket.id.slice('host-'.length))]).toBe(true)
            state = picked.state
          }
        },
      ),
    )
  })

  it('that refuses is skipped at once, for a time that doubles up to 5 s', () => {
    let state = balance('least-connections', hosts([1, 1]))
    const avoidedMs: number[] = []
    let nowMs = 0
    for (let i = 0; i < 9; i++) {
      const picked = pick(state, nowMs, first)!
      expect(picked.ticket.id).toBe('host-0')
      state = refused(picked.state, picked.ticket, nowMs)
      expect(pick(state, nowMs, first)!.ticket.id).toBe('host-1')
      const { refusedUntilMs } = state.backends[0]!
      expect(pick(state, refusedUntilMs - 1, first)!.ticket.id).toBe('host-1')
      avoidedMs.push(refusedUntilMs - nowMs)
      nowMs = refusedUntilMs
    }
    expect(avoidedMs).toEqual([100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000, 5_000])
  })

  it('is picked when it is the only one, and not twice for one request', () => {
    const state = balance('latency-aware', hosts([1]))
    const picked = pick(state, 0, first)!
    const after = refused(picked.state, picked.ticket, 0)
    expect(pick(after, 1, first)?.ticket.id).toBe('host-0')
    expect(pick(after, 1, first, { except: new Set(['host-0']) })).toBeUndefined()
  })

  it('starts with a clean slate in its next life, and ends of its former life count nothing', () => {
    const before = pick(balance('least-connections', hosts([1])), 0, first)!
    const next = setBackends(before.state, hosts([1], { life: 2 }))
    expect(next.backends[0]).toMatchObject({ outstanding: 0, silentSinceMs: null, life: 2 })
    expect(answered(next, before.ticket, 5)).toEqual(next)
  })

  it('is used at once when word comes that it takes requests again', () => {
    const picked = pick(balance('round-robin', hosts([1, 1])), 0, first)!
    const down = setBackends(refused(picked.state, picked.ticket, 0), [
      ...hosts([1], { takes: false }),
      ...hosts([1], { id: 'host-1' }),
    ])
    const ids = pickMany(setBackends(down, hosts([1, 1])), 4, 1).ids
    expect(new Set(ids)).toEqual(new Set(['host-0', 'host-1']))
  })

  it('that kept clients waiting until they left is avoided, then tried again', () => {
    let state = balance('least-connections', hosts([1, 1]))
    const stuck = pick(state, 0, first)!
    state = left(stuck.state, stuck.ticket, 1_500)
    expect(pick(state, 1_500, first)!.ticket.id).toBe('host-1')
    expect(pick(state, 1_600, first)!.ticket.id).toBe('host-0')
  })
})

describe('Every host that takes requests', () => {
  it('gets some under every policy when all answer alike', () => {
    fc.assert(
      fc.property(policyArb, fc.integer({ min: 1, max: 6 }), (policy, n) => {
        const prng = createPrng(`${policy}/${n}`)
        const { ids } = pickMany(balance(policy, hosts(Array(n).fill(1))), 40 * n, 0, prng.below)
        for (let i = 0; i < n; i++) {
          expect(ids.filter((id) => id === `host-${i}`).length).toBeGreaterThan(10)
        }
      }),
    )
  })

  it('owes nothing once all its requests ended, however they ended', () => {
    const endArb = fc.constantFrom(answered, refused, left)
    fc.assert(
      fc.property(policyArb, fc.array(endArb, { maxLength: 40 }), (policy, ends) => {
        let state = balance(policy, hosts([1, 2, 3]))
        const open: Ticket[] = []
        for (const [i] of ends.entries()) {
          const picked = pick(state, i * 100, (bound) => i % bound)!
          state = picked.state
          open.push(picked.ticket)
        }
        expect(state.backends.reduce((sum, b) => sum + b.outstanding, 0)).toBe(ends.length)
        for (const [i, end] of ends.entries()) state = end(state, open[i]!, 5_000 + i)
        expect(state.backends.map(({ outstanding }) => outstanding)).toEqual([0, 0, 0])
        expect(state.backends.map(({ silentSinceMs }) => silentSinceMs)).toEqual([null, null, null])
      }),
    )
  })
})

describe('A session', () => {
  const home = (state: BalanceState, key: string): string | undefined =>
    pick(state, 0, first, { key })?.ticket.id
  const keys = Array.from({ length: 600 }, (_, i) => `session-${i}`)

  it('stays on its host under every policy and load, also while that host stands still', () => {
    const at = home(balance('round-robin', hosts([1, 1, 1])), 'a')
    for (const policy of BALANCE_POLICIES) {
      let state = balance(policy, hosts([1, 1, 1]))
      for (let nowMs = 0; nowMs < 20_000; nowMs += 1_000) {
        const picked = pick(state, nowMs, first, { key: 'a' })!
        expect(picked.ticket.id).toBe(at)
        state = picked.state
      }
    }
  })

  it('moves only when its host is gone, and then comes back to it', () => {
    const all = hosts([1, 1, 1])
    const without = all.map((host) => ({ ...host, takes: host.id !== 'host-1' }))
    const moved = keys.filter(
      (key) => home(balance('weighted', all), key) !== home(balance('weighted', without), key),
    )
    const own = keys.filter((key) => home(balance('weighted', all), key) === 'host-1')
    expect(moved).toEqual(own)
    expect(own.length).toBeGreaterThan(150)
    expect(own.length).toBeLessThan(250)
  })

  it('is placed by weight', () => {
    const state = balance('weighted', hosts([3, 1]))
    const share = keys.filter((key) => home(state, key) === 'host-0').length / keys.length
    expect(share).toBeGreaterThan(0.68)
    expect(share).toBeLessThan(0.82)
  })
})
