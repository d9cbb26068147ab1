/** Which firmware profile is proposed for which machine: real machines as their systems describe them. */
import { beforeAll, describe, expect, it } from 'vitest'
import { listProfiles } from '../../../agent/firmware-profile.ts'
import type { MachineFacts } from '../../../agent/profile/machine-facts.ts'
import { proposeProfile } from '../../../agent/profile/propose-profile.ts'
import type { ProviderFinding } from '../../../agent/profile/try-providers.ts'
import { unwrap } from '../../../shared/kernel/result.ts'
import type { ExecutionProvider, FirmwareProfile } from '../../../shared/model/profile.ts'

const GB = 1_024
const aMachine = (facts: Partial<MachineFacts> = {}): MachineFacts => ({
  ...{ platform: 'linux', architecture: 'x64', board: null, processor: 'AMD EPYC', cores: 16 },
  ...{ memoryMb: 64 * GB, diskFreeMb: 500 * GB, limits: [], ...facts },
})
const arm = (board: string, cores: number, memoryMb: number) =>
  aMachine({ architecture: 'arm64', processor: null, board, cores, memoryMb })

/** Of these, `works` are there. */
function findings(...works: ExecutionProvider[]): ProviderFinding[] {
  return (['cpu', 'webgpu', 'cuda', 'tensorrt', 'coreml'] as const).map((provider) => {
    const available = provider === 'cpu' || works.includes(provider)
    return { provider, available, reason: available ? '' : 'not available: no library' }
  })
}

let profiles: FirmwareProfile[]
beforeAll(async () => {
  profiles = unwrap(await listProfiles())
})

describe('The profile that is proposed', () => {
  const ROWS: readonly (readonly [string, MachineFacts, ExecutionProvider[], string | null])[] = [
    ['a server', aMachine(), [], 'x86-64-server'],
    ['a server with a GPU', aMachine(), ['cuda', 'tensorrt'], 'x86-64-cuda'],
    [
      'an N100 mini computer',
      aMachine({ processor: 'Intel(R) N100', cores: 4, memoryMb: 7_800 }),
      [],
      'intel-n100',
    ],
    ['a Raspberry Pi 5', arm('Raspberry Pi 5 Model B Rev 1.0', 4, 4_045), [], 'raspberry-pi-5'],
    [
      'a Raspberry Pi Zero 2 W',
      arm('Raspberry Pi Zero 2 W Rev 1.0', 4, 416),
      [],
      'raspberry-pi-zero-2w',
    ],
    [
      'a Jetson',
      arm('NVIDIA Jetson Orin Nano Developer Kit', 6, 7_620),
      ['cuda'],
      'jetson-orin-nano',
    ],
    [
      'a MacBook',
      aMachine({ platform: 'darwin', architecture: 'arm64', processor: 'Apple M2', cores: 8 }),
      ['coreml'],
      'apple-silicon',
    ],
    ['an old 32-bit board', aMachine({ architecture: 'arm', processor: null }), [], null],
    ['an Arm board of another maker', arm('Radxa ROCK 5B', 8, 16 * GB), [], null],
  ]

  it.each(ROWS)('for %s', (_, machine, works, expected) => {
    expect(proposeProfile(machine, findings(...works), profiles).proposed).toBe(expected)
  })

  it('for a machine that is too small is the nearest of its kind, with what does not fit', () => {
    const { proposed, candidates } = proposeProfile(aMachine({ cores: 2 }), findings(), profiles)
    expect(proposed).toBe('x86-64-server')
    expect(candidates[0]?.misfits).toEqual(['cores: 2, it is for 8'])
    expect(candidates[0]?.reasons).toContain('architecture x64')
  })

  it('is never one for browsers', () => {
    const { candidates } = proposeProfile(aMachine(), findings('webgpu'), profiles)
    const browsers = candidates.filter(({ name }) => name.includes('browser'))
    expect(browsers).toHaveLength(3)
    for (const { misfits } of browsers) expect(misfits[0]).toBe('it is for browsers')
  })

  it('with an accelerator is not proposed where that is missing, and says why', () => {
    const { candidates } = proposeProfile(aMachine(), findings(), profiles)
    expect(candidates.find(({ name }) => name === 'x86-64-cuda')?.misfits).toEqual([
      'cuda: not available: no library',
    ])
  })
})
