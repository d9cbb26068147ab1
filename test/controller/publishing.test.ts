import { describe, expect, it } from 'vitest'
import { createMemoryStore } from '../../controller/db/memory-store.ts'
import type { Store } from '../../controller/db/store.ts'
import type { Result } from '../../shared/kernel/result.ts'
import { ProblemError, unwrap } from '../../shared/kernel/result.ts'
import { sha256Hex } from '../../shared/kernel/sha256.ts'
import { nodeVerifier } from '../../shared/node/verifier-node.ts'
import { refresh } from '../../shared/signing/tuf/client.ts'
import { runTufSync } from '../../shared/signing/tuf/effects.ts'
import { ada, buildFleet, chunks, type TestFleet } from '../fixtures/controller-builder.ts'
import {
  type BuiltRelease,
  buildRelease,
  buildRoot,
  buildTargets,
  publisher,
  rootSigner,
} from '../fixtures/release-builders.ts'
import { buildSpec } from '../fixtures/rollout-builders.ts'
import { signerNumber } from '../shared/signing/build-assignment.ts'

const codeOf = (result: Result<unknown>): string => (result.ok ? 'ok' : result.error.code)

async function upload({ controller }: TestFleet, { files }: BuiltRelease): Promise<void> {
  for (const bytes of files.values()) {
    unwrap(await controller.application.putArtifact(sha256Hex(bytes), chunks(bytes), ada))
  }
}

/** A TUF client, with nothing but the first root, on the files that the controller serves. */
async function refreshFrom(fleet: TestFleet, rootBytes: Uint8Array, nowMs: number) {
  const names = Array.from({ length: 40 }, (_, i) =>
    ['root', 'targets', 'snapshot'].map((role) => `${i}.${role}.json`),
  )
  const files = new Map<string, Uint8Array>()
  for (const name of [...names.flat(), 'timestamp.json']) {
    const file = await fleet.controller.application.tufMetadata(name)
    if (file.ok) files.set(name, file.value)
  }
  const trusted = new Map([['root', rootBytes]])
  return runTufSync(refresh(nowMs), {
    verifier: nodeVerifier,
    load: (role) => trusted.get(role),
    persist: (role, bytes) => void trusted.set(role, bytes),
    forget: (role) => void trusted.delete(role),
    fetch: (path) => {
      const bytes = files.get(path)
      return bytes === undefined ? { kind: 'absent' } : { kind: 'fetched', bytes }
    },
  })
}

describe('publishing', () => {
  it('serves a repository that a TUF client accepts, before and after each change', async () => {
    const fleet = await buildFleet()
    await fleet.publish([buildRelease('1.0.0')], 1)
    const first = unwrap(await refreshFrom(fleet, buildRoot(), fleet.clock.nowMs()))
    expect([first.targets.version, first.snapshot.version]).toEqual([1, 1])
    await fleet.publish([buildRelease('1.0.0'), buildRelease('1.1.0')], 2)
    const second = unwrap(await refreshFrom(fleet, buildRoot(), fleet.clock.nowMs()))
    expect([second.targets.version, second.snapshot.version]).toEqual([2, 2])
    const { application } = fleet.controller
    unwrap(await application.putRoot(buildRoot({ version: 2 }), ada))
    const third = unwrap(await refreshFrom(fleet, buildRoot(), fleet.clock.nowMs()))
    expect([third.root.version, third.snapshot.version]).toEqual([2, 3])
  })

  it('keeps snapshot and timestamp fresh for as long as it runs', async () => {
    const fleet = await buildFleet()
    await fleet.publish([buildRelease('1.0.0')], 1)
    for (let day = 0; day < 20; day++) {
      for (let part = 0; part < 4; part++) await fleet.after(6 * 3_600_000)
      const trusted = await refreshFrom(fleet, buildRoot(), fleet.clock.nowMs())
      expect(codeOf(trusted)).toBe('ok')
    }
  })

  it('serves nothing that a crash could still take back', async () => {
    const memory = createMemoryStore()
    let failing = false
    const store: Store = {
      ...memory,
      write: async (changes) => {
        if (failing) throw new ProblemError({ code: 'store.write_failed', message: 'Full.' })
        await memory.write(changes)
      },
    }
    const fleet = await buildFleet({ store })
    const releases = [buildRelease('1.0.0'), buildRelease('1.1.0')]
    await fleet.publish(releases.slice(0, 1), 1)
    await upload(fleet, releases[1]!)
    const { application } = fleet.controller
    const served = async () => unwrap(await application.tufMetadata('timestamp.json'))
    const before = await served()
    failing = true
    const put = application.putTargets(buildTargets(2, releases), ada)
    await expect(put).rejects.toMatchObject({ problem: { code: 'store.unavailable' } })
    expect(await served()).toEqual(before)
    expect(codeOf(await application.tufMetadata('2.targets.json'))).toBe('tuf.not_found')
    failing = false
    await fleet.after(200)
    expect(await served()).not.toEqual(before)
    const trusted = unwrap(await refreshFrom(fleet, buildRoot(), fleet.clock.nowMs()))
    expect(trusted.targets.version).toBe(2)
  })

  it('makes releases of manifests, and serves their files by digest', async () => {
    const fleet = await buildFleet()
    const release = buildRelease('1.0.0')
    await fleet.publish([release], 1)
    const { application } = fleet.controller
    const listed = await application.listReleases('motor')
    expect(listed.map(({ version, stage, publishedBy }) => [version, stage, publishedBy])).toEqual([
      ['1.0.0', 'registered', 'ada'],
    ])
    const { sha256, length } = release.manifest.variants[0]!.artifact
    const target = unwrap(await application.tufTarget(`motor/1.0.0/${sha256}.fp32.onnx`))
    expect(target).toEqual({ sha256, length })
    const { open } = unwrap(await application.artifact(sha256))
    const text = await new Response(open(2, 5)).text()
    expect(text).toBe('1.0.0/fp32.onnx'.slice(2, 5))
    expect(codeOf(await application.tufTarget('motor/1.0.0/fp32.onnx'))).toBe('tuf.not_found')
  })

  it('accepts the same root and targets again and changes nothing', async () => {
    const fleet = await buildFleet()
    const release = buildRelease('1.0.0')
    await fleet.publish([release], 1)
    const { application } = fleet.controller
    expect(unwrap(await application.putRoot(buildRoot(), ada))).toEqual({ version: 1 })
    const again = unwrap(await application.putTargets(buildTargets(1, [release]), ada))
    expect(again).toEqual({ releases: [], waiting: [] })
    const trusted = unwrap(await refreshFrom(fleet, buildRoot(), fleet.clock.nowMs()))
    expect(trusted.snapshot.version).toBe(1)
  })

  it('refuses a root that is not signed, not next, or does not name its keys', async () => {
    const fleet = await buildFleet()
    const { application } = fleet.controller
    const put = async (bytes: Uint8Array) => codeOf(await application.putRoot(bytes, ada))
    expect(await put(buildRoot({ signers: [publisher] }))).toBe('tuf.signature')
    expect(await put(buildRoot({ version: 2 }))).toBe('tuf.rollback')
    expect(await put(buildRoot({ director: signerNumber(1) }))).toBe('root.online_keys')
    expect(await put(buildRoot())).toBe('ok')
    expect(await put(buildRoot({ version: 3 }))).toBe('tuf.rollback')
    expect(await put(new Uint8Array([1, 2, 3]))).toBe('json.malformed')
  })

  it('refuses targets that are not signed by publishers, not next, or without a root', async () => {
    const fleet = await buildFleet()
    const { application } = fleet.controller
    const release = buildRelease('1.0.0')
    const put = async (bytes: Uint8Array) => codeOf(await application.putTargets(bytes, ada))
    expect(await put(buildTargets(1, [release]))).toBe('tuf.no_trusted_root')
    unwrap(await application.putRoot(buildRoot(), ada))
    expect(await put(buildTargets(1, [release], rootSigner))).toBe('tuf.signature')
    expect(await put(buildTargets(2, [release]))).toBe('tuf.rollback')
    expect(await put(buildTargets(1, [release]))).toBe('release.artifact_missing')
    await upload(fleet, release)
    expect(await put(buildTargets(1, [release]))).toBe('ok')
  })

  it('refuses the same version with other bytes, and bytes with another digest', async () => {
    const fleet = await buildFleet()
    await fleet.publish([buildRelease('1.0.0')], 1)
    const { application } = fleet.controller
    const changed = buildRelease('1.0.0', { description: 'changed' })
    await upload(fleet, changed)
    const put = await application.putTargets(buildTargets(2, [changed]), ada)
    expect(codeOf(put)).toBe('release.duplicate_version')
    const wrong = await application.putArtifact('0'.repeat(64), chunks(new Uint8Array(9)), ada)
    expect(codeOf(wrong)).toBe('artifact.digest')
  })

  it('records each artifact that came, and each that was not what its name says', async () => {
    const fleet = await buildFleet()
    const { application } = fleet.controller
    const bytes = new Uint8Array([1, 2, 3, 4, 5, 6])
    unwrap(await application.putArtifact(sha256Hex(bytes), chunks(bytes), ada))
    await application.putArtifact('0'.repeat(64), chunks(bytes), ada)
    const { entries } = await application.audit(undefined, 10)
    expect(
      entries.map(({ actor, action, resource, outcome }) => [actor, action, resource, outcome]),
    ).toEqual([
      ['ada', 'upload', `artifact/${sha256Hex(bytes)}`, 'done'],
      ['ada', 'upload', `artifact/${'0'.repeat(64)}`, 'artifact.digest'],
    ])
  })

  it('refuses a manifest that disagrees with the targets beside it', async () => {
    const fleet = await buildFleet()
    unwrap(await fleet.controller.application.putRoot(buildRoot(), ada))
    const release = buildRelease('1.0.0')
    const files = new Map(release.files)
    const other = new TextEncoder().encode('other bytes')
    files.set('fp32.onnx', other)
    const mixed = { ...release, files }
    await upload(fleet, mixed)
    const put = await fleet.controller.application.putTargets(buildTargets(1, [mixed]), ada)
    expect(codeOf(put)).toBe('release.target_mismatch')
  })

  it('takes a release out of use when the targets no longer list it', async () => {
    const fleet = await buildFleet()
    await fleet.publish([buildRelease('1.0.0'), buildRelease('1.1.0')], 1)
    await fleet.publish([buildRelease('1.0.0')], 2)
    const { application } = fleet.controller
    expect(unwrap(await application.getRelease('motor', '1.1.0')).stage).toBe('archived')
    await fleet.enrol('p1')
    const rollout = await application.createRollout(buildSpec(), ada)
    expect(codeOf(rollout)).toBe('rollout.unknown_release')
  })
})

describe('creating a rollout', () => {
  it('names it by its number and by chance: a restored database counts again', async () => {
    let chance = 0
    const rolloutId = (number: number) => `r${number}-abc${chance++}`
    const fleet = await buildFleet({ rolloutId })
    await fleet.publish([buildRelease('1.0.0'), buildRelease('1.1.0')], 1)
    await fleet.enrol('p1')
    const { application } = fleet.controller
    expect(unwrap(await application.createRollout(buildSpec(), ada)).id).toBe('r1-abc0')
    expect(unwrap(await application.getRollout('r1', ada)).id).toBe('r1-abc0')
    const options = { full: false, note: '' }
    expect(unwrap(await application.commandRollout('r1', 'abort', options, ada)).id).toBe('r1-abc0')
    expect(codeOf(await application.getRollout('r', ada))).toBe('rollout.not_found')
    expect(unwrap(await application.createRollout(buildSpec(), ada)).id).toBe('r2-abc1')
  })

  it('between one release and itself is refused with two that there are', async () => {
    const fleet = await buildFleet()
    await fleet.publish([buildRelease('1.0.0'), buildRelease('1.1.0')], 1)
    await fleet.enrol('p1')
    const spec = buildSpec({ candidate: '1.0.0' })
    expect(await fleet.controller.application.createRollout(spec, ada)).toMatchObject({
      error: {
        ...{ code: 'rollout.same_release', expected: 'two releases of the model' },
        next: 'linnet rollout create --model motor --from 1.0.0 --to 1.1.0',
      },
    })
  })

  it('refuses a candidate with other tensors, and says which differ', async () => {
    const fleet = await buildFleet()
    const inputs = [{ name: 'vibration', datatype: 'FP16' as const, shape: ['batch', 6] }]
    await fleet.publish([buildRelease('1.0.0'), buildRelease('1.1.0', { inputs })], 1)
    await fleet.enrol('p1')
    const refused = await fleet.controller.application.createRollout(buildSpec(), ada)
    expect(refused).toMatchObject({ ok: false, error: { code: 'rollout.signature_changed' } })
    if (!refused.ok) expect(refused.error.found).toContain('input vibration is FP16 [batch,6]')
  })

  it('refuses what could never succeed', async () => {
    const fleet = await buildFleet()
    await fleet.publish([buildRelease('1.0.0'), buildRelease('1.1.0')], 1)
    const { application } = fleet.controller
    const create = async (more = {}) =>
      codeOf(await application.createRollout(buildSpec(more), ada))
    expect(await create()).toBe('rollout.no_devices')
    await fleet.enrol('p1')
    expect(await create({ candidate: '2.0.0' })).toBe('rollout.unknown_release')
    expect(await create({ candidate: '1.0.0' })).toBe('rollout.same_release')
    expect(await create()).toBe('ok')
    expect(await create()).toBe('rollout.already_active')
    // Devices report the candidate of the rollout under way: that is not what stands in the way.
    expect(await create({ baseline: '1.1.0' })).toBe('rollout.already_active')
  })
})
