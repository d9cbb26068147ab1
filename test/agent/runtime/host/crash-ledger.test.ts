import { describe, expect, it } from 'vitest'
import {
  type Death,
  judgeExit,
  restartDelayMs,
} from '../../../../agent/runtime/host/crash-ledger.ts'
import type { HostExit } from '../../../../agent/runtime/host/host-process.ts'

const CURRENT = 'c'.repeat(64)
const CANDIDATE = 'd'.repeat(64)
const exit = (more: Partial<HostExit>): HostExit => ({
  code: null,
  signal: null,
  hung: false,
  running: undefined,
  loading: undefined,
  ...more,
})
/** Ends as given, one per second. @returns which release broke after each. */
function brokenBy(...exits: Partial<HostExit>[]): (string | undefined)[] {
  let deaths: readonly Death[] = []
  return exits.map((each, i) => {
    const verdict = judgeExit(deaths, exit(each), [CANDIDATE], i * 1_000)
    deaths = verdict.deaths
    return verdict.broke
  })
}

const FAULT = { signal: 'SIGSEGV', running: CANDIDATE }

describe('When the model host dies', () => {
  it.each<[string, Partial<HostExit>[], (string | undefined)[]]>([
    ['a first crash in a run may be chance', [FAULT], [undefined]],
    ['a second one of the same release breaks it', [FAULT, FAULT], [undefined, CANDIDATE]],
    [
      'crashes of two releases are two first ones',
      [FAULT, { ...FAULT, running: CURRENT }],
      [undefined, undefined],
    ],
    [
      'a hang counts like a crash',
      [
        { hung: true, signal: 'SIGKILL', running: CURRENT },
        { ...FAULT, running: CURRENT },
      ],
      [undefined, CURRENT],
    ],
    [
      'a candidate that hangs has broken',
      [{ hung: true, signal: 'SIGKILL', running: CANDIDATE }],
      [CANDIDATE],
    ],
    [
      'a candidate that hangs in its load has broken',
      [{ hung: true, signal: 'SIGKILL', loading: CANDIDATE }],
      [CANDIDATE],
    ],
    [
      'an exit by code counts like a crash',
      [{ code: 134, running: CANDIDATE }, FAULT],
      [undefined, CANDIDATE],
    ],
    [
      'a kill from outside during a run blames nobody',
      [
        { signal: 'SIGKILL', running: CANDIDATE },
        { signal: 'SIGKILL', running: CANDIDATE },
      ],
      [undefined, undefined],
    ],
    [
      'three kills during loads are taken for the system out of memory',
      Array.from({ length: 3 }, () => ({ signal: 'SIGKILL', loading: CANDIDATE })),
      [undefined, undefined, CANDIDATE],
    ],
    [
      'five deaths in runs within a minute send the candidate away, whoever killed',
      Array.from({ length: 5 }, () => ({ signal: 'SIGKILL', running: CURRENT })),
      [undefined, undefined, undefined, undefined, CANDIDATE],
    ],
    [
      'an idle host may be killed as often as one likes',
      Array.from({ length: 8 }, () => ({ signal: 'SIGKILL' })),
      Array.from({ length: 8 }, () => undefined),
    ],
  ])('%s', (_, exits, broke) => {
    expect(brokenBy(...exits)).toEqual(broke)
  })

  it('forgets a crash after ten minutes', () => {
    const first = judgeExit([], exit(FAULT), [CANDIDATE], 0)
    expect(judgeExit(first.deaths, exit(FAULT), [CANDIDATE], 600_001).broke).toBeUndefined()
  })

  it.each([{ signal: 'SIGABRT' }, { hung: true, signal: 'SIGKILL' }, { code: 1 }])(
    'by %j outside a run and a load, nobody is to blame, however often',
    (how) => {
      expect(brokenBy(...Array.from({ length: 8 }, () => how))).toEqual(Array(8).fill(undefined))
      expect(judgeExit([], exit(how), [CANDIDATE], 0).blamed).toBeUndefined()
      const ran = exit({ ...how, running: CURRENT })
      expect(judgeExit([], ran, [], 0).blamed).toBe(CURRENT)
    },
  )

  it('starts an idle host that was killed again at once, however often', () => {
    const { deaths } = judgeExit([], exit({ signal: 'SIGKILL' }), [CANDIDATE], 0)
    expect(restartDelayMs(deaths, 0)).toBe(0)
  })

  it('says what happened', () => {
    expect(judgeExit([], exit(FAULT), [CANDIDATE], 0).problem).toEqual({
      code: 'host.crashed',
      message: 'The model host crashed while it ran dddddddddddd.',
      found: 'SIGSEGV',
    })
  })

  it('starts again at once, then ever later, at most after 10 s', () => {
    const deaths = Array.from({ length: 12 }, (_, i) => ({
      atMs: i,
      blamed: undefined,
      external: false,
      atWork: true,
      host: 0,
    }))
    const delays = [1, 2, 3, 4, 12].map((n) => restartDelayMs(deaths.slice(0, n), 20))
    expect(delays).toEqual([0, 100, 200, 400, 10_000])
  })

  it('of several hosts waits only for its own deaths, and a release is blamed for all of them', () => {
    const first = judgeExit([], exit(FAULT), [CANDIDATE], 0, 0)
    const second = judgeExit(first.deaths, exit(FAULT), [CANDIDATE], 10, 1)
    expect(second.broke).toBe(CANDIDATE)
    expect([0, 1, 2].map((host) => restartDelayMs(second.deaths, 20, host))).toEqual([0, 0, 0])
    const third = judgeExit(second.deaths, exit(FAULT), [CANDIDATE], 20, 1)
    expect([0, 1].map((host) => restartDelayMs(third.deaths, 30, host))).toEqual([0, 100])
  })
})
