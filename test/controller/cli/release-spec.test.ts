/** What the answers of a release tell, and how many: from its file and from flags, which win. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type ReleaseFlags, readReleaseSpec } from '../../../controller/cli/release-spec.ts'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'linnet-spec-'))
})
afterEach(() => rm(folder, { recursive: true, force: true }))

const disclosureOf = async (flags: Partial<ReleaseFlags>, disclosure?: object) => {
  const spec = join(folder, 'release.json')
  const variants = [{ name: 'fp32', precision: 'fp32', file: 'm.onnx' }]
  const file = { model: 'motor', version: '1.0.0', variants, ...(disclosure && { disclosure }) }
  await writeFile(spec, JSON.stringify(file))
  return (await readReleaseSpec({ variant: [], spec, ...flags })).disclosure
}

describe('The disclosure of a release', () => {
  it('is none where nobody asks for one', async () => {
    expect(await disclosureOf({})).toBeUndefined()
  })

  it('comes from flags: rounding, top-k, and how many answers', async () => {
    const limits = { decimals: 2, topK: 3, requestsPerMinute: 60, requestsBurst: 5 }
    const flags = { ...limits, countNoise: 0.5 }
    const countNoise = { epsilon: 0.5 }
    const all = { decimals: 2, topK: 3, requestsPerMinuteMax: 60, requestsBurstMax: 5, countNoise }
    expect(await disclosureOf(flags)).toEqual(all)
  })

  it('has single fields of its file changed by flags', async () => {
    const file = { decimals: 2, requestsPerMinuteMax: 600 }
    expect(await disclosureOf({ requestsPerMinute: 60 }, file)).toEqual({
      ...{ decimals: 2, requestsPerMinuteMax: 60 },
    })
  })

  it.each([
    { requestsPerMinute: 0 },
    { requestsPerMinute: 1.5 },
    { topK: Number('many') },
    { countNoise: 0 },
  ])('is refused: %o', async (flags) => {
    await expect(disclosureOf(flags)).rejects.toMatchObject({
      problem: { code: 'release.specification' },
    })
  })
})
