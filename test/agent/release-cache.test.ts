/** What a device knows of its releases outlives the agent that wrote it down. */
import { describe, expect, it } from 'vitest'
import { ReleaseCache } from '../../agent/artifact/release-cache.ts'
import type { SmallFiles } from '../../agent/ports.ts'
import { unwrap } from '../../shared/kernel/result.ts'
import { sha256Hex } from '../../shared/kernel/sha256.ts'
import type { ReleaseRef } from '../../shared/update/state.ts'

const ARTIFACT = 'a'.repeat(64)
const GOLDEN = 'b'.repeat(64)
const TARGET = 'motor/1.0.0/fp32.onnx'
const RELEASE: ReleaseRef = {
  ...{ model: 'motor', version: '1.0.0', variant: 'fp32', target: TARGET },
  ...{ sha256: ARTIFACT, length: 10 },
}
const NAME = `${ARTIFACT}.${sha256Hex(TARGET).slice(0, 16)}.json`

/** As agent 0.1 wrote it, byte for byte: no field of it may become something else. */
const FORMER = `{"target":"motor/1.0.0/fp32.onnx","manifest":{"schema":"linnet.manifest.v1",\
"model":"motor","version":"1.0.0","createdAtMs":0,\
"inputs":[{"name":"x","datatype":"FP32","shape":[1,2]}],\
"outputs":[{"name":"scores","datatype":"FP32","shape":[1,2]}],"finiteInputs":["x"],\
"variants":[{"name":"fp32","precision":"fp32","profiles":[],\
"artifact":{"file":"fp32.onnx","sha256":"${ARTIFACT}","length":10},\
"golden":{"file":"fp32.golden.bin","sha256":"${GOLDEN}","length":20},\
"tolerance":{"absolute":0.0001,"relative":0.001}}],\
"features":[{"name":"x0","tensor":"x","reduce":"element","offset":0,"count":1}],\
"reference":[{"feature":"x0","edges":[-1,0,1],"counts":[1,2,3,4],"mean":0,"sd":1,\
"autocorrelationRows":1}],"classes":{"tensor":"scores","names":["low","high"]},\
"serviceLevels":{"latencyMsMax":100,"latencyBadShareMax":0.05,"errorRateMax":0.02,\
"qualityDropMax":0.05},"disclosure":{"decimals":2},"lineage":{},"evaluation":{},"description":""},\
"onRevoked":"stop","releaseCounter":3}`

function filesWith(text: string): { files: SmallFiles; kept: Map<string, string> } {
  const kept = new Map([[NAME, text]])
  const files: SmallFiles = {
    read: async (name) => kept.get(name),
    write: async (name, written) => void kept.set(name, written),
    names: async () => [...kept.keys()],
    remove: async (name) => void kept.delete(name),
  }
  return { files, kept }
}

describe('A record of a release', () => {
  it('that a former agent wrote is served without a network', async () => {
    const cache = new ReleaseCache(filesWith(FORMER).files)
    const { manifest, variant } = unwrap(await cache.get(RELEASE))
    expect(manifest.disclosure).toEqual({ decimals: 2 })
    expect(variant.golden.sha256).toBe(GOLDEN)
    expect(await cache.goldenOf(new Set([ARTIFACT]))).toEqual([GOLDEN])
    expect(await cache.record(RELEASE)).toMatchObject({ onRevoked: 'stop', releaseCounter: 3 })
  })

  it('without the fields that came later is served too', async () => {
    const first = FORMER.replace(',"onRevoked":"stop","releaseCounter":3', '')
    const cache = new ReleaseCache(filesWith(first).files)
    expect(unwrap(await cache.get(RELEASE)).manifest.version).toBe('1.0.0')
  })

  it('names its form, and is read back', async () => {
    const { files, kept } = filesWith(FORMER)
    const cache = new ReleaseCache(files)
    const resolved = unwrap(await cache.get(RELEASE))
    const { manifest } = resolved
    await cache.put(resolved, { releaseCounter: 4 } as Parameters<ReleaseCache['put']>[1])
    expect(JSON.parse(kept.get(NAME)!)).toMatchObject({
      ...{ schema: 'linnet.release-record.v2', releaseCounter: 4, manifest },
    })
    expect(unwrap(await cache.get(RELEASE))).toEqual(resolved)
  })

  it.each([
    [
      'of a form that is not known yet',
      FORMER.replace('{', '{"schema":"linnet.release-record.v9",'),
    ],
    ['that was cut', FORMER.slice(0, -1)],
    ['of another artifact', FORMER.replace(ARTIFACT, GOLDEN)],
  ])('%s is not served: the release is fetched again', async (_, text) => {
    const cache = new ReleaseCache(filesWith(text).files)
    expect(await cache.get(RELEASE)).toMatchObject({ error: { code: 'release.not_on_device' } })
  })
})
