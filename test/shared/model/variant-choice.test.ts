/** Which variant a class of devices gets, and every reason for which one is left out. */
import { describe, expect, it } from 'vitest'
import type { Variant } from '../../../shared/model/manifest.ts'
import { variantSchema } from '../../../shared/model/manifest.ts'
import type { FirmwareProfile } from '../../../shared/model/profile.ts'
import { chooseVariant } from '../../../shared/model/variant-choice.ts'

const MIB = 2 ** 20
const BOARD: FirmwareProfile = {
  name: 'board',
  title: 'A board',
  sources: [],
  cpu: { architecture: 'arm64', cores: 4 },
  memoryMb: 1_024,
  executionProviders: ['cuda', 'cpu'],
  limits: { artifactBytesMax: 64 * MIB, sessionMemoryMb: 100, threadsMax: 2, diskMb: 512 },
  precisions: ['fp16', 'int8'],
}

interface Built extends Partial<Omit<Variant, 'artifact'>> {
  readonly lengthMb?: number
}

function variant({ lengthMb = 1, ...more }: Built = {}): Variant {
  const artifact = { file: 'one.onnx', sha256: 'a'.repeat(64), length: lengthMb * MIB }
  return variantSchema.parse({
    ...{ name: 'one', precision: 'int8', profiles: [], artifact, golden: artifact },
    tolerance: { absolute: 0, relative: 0 },
    ...more,
  })
}

const choose = (variants: readonly Built[], profile = BOARD) =>
  chooseVariant({ model: 'motor', version: '1.0.0', variants: variants.map(variant) }, profile)
const chosen = (...variants: Built[]) => {
  const choice = choose(variants)
  return choice.ok ? choice.value.name : choice.error.code
}

describe('A variant is left out', () => {
  it.each<[string, Built, string]>([
    ['that is meant for others', { profiles: ['pi', 'nuc'] }, 'meant for pi, nuc'],
    ['of another precision', { precision: 'fp32' }, 'precision fp32 is not in the profile'],
    [
      'that no execution provider of the profile runs',
      { executionProviders: ['webgpu', 'coreml'] },
      'meant for webgpu, coreml, which the profile does not have',
    ],
    ['whose file is too large', { lengthMb: 65, memoryMb: 10 }, `${65 * MIB} bytes`],
    ['that takes too much memory', { memoryMb: 101 }, 'takes 101 MiB of memory'],
    [
      'that would be in memory twice while it is loaded',
      { lengthMb: 50 + 1 / MIB },
      'takes at least 101 MiB of memory, by its length',
    ],
  ])('%s', (_, built, reason) => {
    expect(choose([built])).toMatchObject({
      error: { code: 'variant.none_fits', found: `one: ${reason}` },
    })
  })

  it('at the limits of the profile: never', () => {
    expect(chosen({ lengthMb: 64, memoryMb: 100 })).toBe('one')
    expect(chosen({ lengthMb: 50 })).toBe('one')
    expect(chosen({ executionProviders: ['cpu', 'webgpu'], profiles: ['board'] })).toBe('one')
  })

  it('each with its own reason, beside what the profile asks for', () => {
    const refused = choose([
      { name: 'full', precision: 'fp32' },
      { name: 'half', precision: 'fp16', memoryMb: 200 },
    ])
    expect(refused).toMatchObject({
      error: {
        message: 'No variant of motor@1.0.0 suits board.',
        expected: `precision fp16 or int8, at most ${64 * MIB} bytes, 100 MiB of memory, for cuda or cpu`,
        found: 'full: precision fp32 is not in the profile; half: takes 200 MiB of memory',
      },
    })
  })
})

describe('Of the variants that fit', () => {
  const half: Built = { name: 'half', precision: 'fp16' }
  const small: Built = { name: 'small', precision: 'int8' }

  it('one that names the profile comes before a better precision', () => {
    expect(chosen(half, { ...small, profiles: ['board'] })).toBe('small')
  })

  it('the precision that the profile prefers comes first, in whatever order they stand', () => {
    expect(chosen(small, half)).toBe('half')
    expect(chosen(half, small)).toBe('half')
  })

  it('a smaller one takes the place of a better one that the memory cannot hold', () => {
    expect(chosen({ ...half, memoryMb: 101 }, small)).toBe('small')
    expect(chosen({ ...half, lengthMb: 60 }, small)).toBe('small')
  })

  it('the execution provider that the profile prefers decides between equal precisions', () => {
    const slow: Built = { ...small, name: 'slow', executionProviders: ['cpu'] }
    expect(chosen(slow, { ...small, executionProviders: ['cuda'] })).toBe('small')
    expect(chosen(slow, half)).toBe('half')
  })

  it('the order of the manifest decides between equals', () => {
    expect(chosen({ ...small, name: 'first' }, small)).toBe('first')
  })
})
