/**
 * Roles that targets delegate to: what the controller takes over, what it refuses as a device would,
 * and that a TUF client with nothing but the first root agrees.
 */
import { describe, expect, it } from 'vitest'
import type { Result } from '../../shared/kernel/result.ts'
import { unwrap } from '../../shared/kernel/result.ts'
import { sha256Hex } from '../../shared/kernel/sha256.ts'
import { nodeVerifier } from '../../shared/node/verifier-node.ts'
import type { SyncSigner } from '../../shared/signing/keys.ts'
import { refresh } from '../../shared/signing/tuf/client.ts'
import { runTufSync } from '../../shared/signing/tuf/effects.ts'
import type { DelegationPlan } from '../../shared/signing/tuf/publish.ts'
import { findTarget } from '../../shared/signing/tuf/search.ts'
import { ada, buildFleet, chunks, type TestFleet } from '../fixtures/controller-builder.ts'
import {
  type BuiltRelease,
  buildRelease,
  buildRole,
  buildRoot,
  publisher,
} from '../fixtures/release-builders.ts'
import { signerNumber } from '../shared/signing/build-assignment.ts'

const camera = signerNumber(150)
const secondCamera = signerNumber(151)
const dayMs = 86_400_000

function toModel(model: string, more: Partial<DelegationPlan> = {}): DelegationPlan {
  const paths = [`${model}/*/*`]
  const plan = { name: `model-${model}`, keys: [camera.key], threshold: 1, terminating: false }
  return { ...plan, paths, ...more }
}

const ofCamera = (version: string): BuiltRelease => buildRelease(version, { model: 'camera' })

const targets = (version: number, delegations: DelegationPlan[], releases: BuiltRelease[] = []) =>
  buildRole('targets', version, releases, { signers: [publisher], delegations })

const cameraRole = (version: number, releases: BuiltRelease[], signers: SyncSigner[] = [camera]) =>
  buildRole('model-camera', version, releases, { signers })

async function upload({ controller }: TestFleet, ...releases: BuiltRelease[]): Promise<void> {
  for (const bytes of releases.flatMap(({ files }) => [...files.values()])) {
    unwrap(await controller.application.putArtifact(sha256Hex(bytes), chunks(bytes), ada))
  }
}

const codeOf = (result: Result<unknown>): string => (result.ok ? 'ok' : result.error.code)

async function put(fleet: TestFleet, files: Record<string, Uint8Array>): Promise<string> {
  return codeOf(await fleet.controller.application.putRoles(new Map(Object.entries(files)), ada))
}

/** A fleet whose model `camera` has a key of its own and one release. */
async function delegated(): Promise<TestFleet> {
  const fleet = await buildFleet()
  unwrap(await fleet.controller.application.putRoot(buildRoot(), ada))
  const release = ofCamera('1.0.0')
  await upload(fleet, release)
  const files = {
    targets: targets(1, [toModel('camera')]),
    'model-camera': cameraRole(1, [release]),
  }
  expect(await put(fleet, files)).toBe('ok')
  return fleet
}

/** Who vouches for a target, as a client finds it on the served files alone; or the refusal. */
async function found(fleet: TestFleet, path: string, nowMs = fleet.clock.nowMs()) {
  const { application } = fleet.controller
  const files = new Map<string, Uint8Array>()
  for (const role of ['root', 'targets', 'snapshot', 'model-camera']) {
    for (let version = 1; version < 40; version++) {
      const file = await application.tufMetadata(`${version}.${role}.json`)
      if (file.ok) files.set(`${version}.${role}.json`, file.value)
    }
  }
  files.set('timestamp.json', unwrap(await application.tufMetadata('timestamp.json')))
  const trusted = new Map([['root', buildRoot()]])
  const ports = {
    verifier: nodeVerifier,
    load: (role: string) => trusted.get(role),
    persist: (role: string, bytes: Uint8Array) => void trusted.set(role, bytes),
    forget: (role: string) => void trusted.delete(role),
    fetch: (name: string) => {
      const bytes = files.get(name)
      return bytes === undefined
        ? ({ kind: 'absent' } as const)
        : ({ kind: 'fetched', bytes } as const)
    },
  }
  const set = runTufSync(refresh(nowMs), ports)
  if (!set.ok) return set.error.code
  const target = runTufSync(findTarget(set.value, path), ports)
  return target.ok ? target.value.roles.join(' > ') : target.error.code
}

const MANIFEST = 'camera/1.0.0/manifest.json'

describe('a model with a key of its own', () => {
  it('has releases that a client finds below its role, and the fleet lists', async () => {
    const fleet = await delegated()
    expect(await found(fleet, MANIFEST)).toBe('targets > model-camera')
    const [release] = await fleet.controller.application.listReleases('camera')
    expect(release).toMatchObject({ version: '1.0.0', stage: 'registered', role: 'model-camera' })
    const { sha256, length } = ofCamera('1.0.0').manifest.variants[0]!.artifact
    const target = await fleet.controller.application.tufTarget(`camera/1.0.0/${sha256}.fp32.onnx`)
    expect(unwrap(target)).toEqual({ sha256, length })
  })

  it('needs nobody else for its next release; snapshot and timestamp cover it', async () => {
    const fleet = await delegated()
    const next = ofCamera('1.1.0')
    await upload(fleet, next)
    const files = { 'model-camera': cameraRole(2, [ofCamera('1.0.0'), next]) }
    expect(await put(fleet, files)).toBe('ok')
    expect(await found(fleet, 'camera/1.1.0/manifest.json')).toBe('targets > model-camera')
    for (let day = 0; day < 10; day++) {
      for (let part = 0; part < 4; part++) await fleet.after(dayMs / 4)
      expect(await found(fleet, MANIFEST)).toBe('targets > model-camera')
    }
  })

  it('takes a release back by itself', async () => {
    const fleet = await delegated()
    expect(await put(fleet, { 'model-camera': cameraRole(2, []) })).toBe('ok')
    expect(await found(fleet, MANIFEST)).toBe('tuf.target_unknown')
    const { application } = fleet.controller
    expect(unwrap(await application.getRelease('camera', '1.0.0')).stage).toBe('archived')
  })

  it('loses its releases with its delegation, and no client calls that a rollback', async () => {
    const fleet = await delegated()
    expect(await put(fleet, { targets: targets(2, []) })).toBe('ok')
    expect(await found(fleet, MANIFEST)).toBe('tuf.target_unknown')
    const snapshot = unwrap(await fleet.controller.application.tufMetadata('2.snapshot.json'))
    expect(Object.keys(JSON.parse(new TextDecoder().decode(snapshot)).signed.meta)).toEqual([
      'targets.json',
      'model-camera.json',
    ])
  })

  it('is the same after a restart', async () => {
    const fleet = await delegated()
    const again = await fleet.restart()
    expect(await found(again, MANIFEST)).toBe('targets > model-camera')
    const files = { 'model-camera': cameraRole(1, [ofCamera('1.0.0')]) }
    expect(await put(again, files)).toBe('ok')
    expect(await put(again, { 'model-camera': cameraRole(3, []) })).toBe('tuf.rollback')
    expect(await put(again, { 'model-camera': cameraRole(2, []) })).toBe('ok')
  })

  it('is reminded of its own expiry, which archives nothing', async () => {
    const fleet = await delegated()
    const soon = fleet.clock.nowMs() + dayMs
    const short = buildRole('model-camera', 2, [ofCamera('1.0.0')], {
      signers: [camera],
      expiresMs: soon,
    })
    expect(await put(fleet, { 'model-camera': short })).toBe('ok')
    const health = await fleet.controller.application.health()
    expect([health.targetsExpireAtMs, health.expiringRole]).toEqual([soon, 'model-camera'])
    await fleet.after(2 * dayMs)
    expect(await found(fleet, MANIFEST)).toBe('tuf.expired')
    // Another publisher goes on all the same.
    expect(await put(fleet, { targets: targets(2, [toModel('camera')]) })).toBe('ok')
    const { application } = fleet.controller
    expect(unwrap(await application.getRelease('camera', '1.0.0')).stage).toBe('registered')
  })
})

describe('what a delegated role may not do is refused as a device refuses it', () => {
  it('sign another model', async () => {
    const fleet = await delegated()
    const motor = buildRelease('6.6.6')
    await upload(fleet, motor)
    const files = { 'model-camera': cameraRole(2, [ofCamera('1.0.0'), motor]) }
    const refused = await fleet.controller.application.putRoles(new Map(Object.entries(files)), ada)
    expect(refused).toMatchObject({
      ok: false,
      error: {
        code: 'delegation.path',
        expected: 'a target like camera/*/*',
        found: 'motor/6.6.6/fp32.onnx',
      },
    })
  })

  it('be signed by other keys, be unnamed, be old, or come from nowhere', async () => {
    const fleet = await delegated()
    const stranger = cameraRole(2, [], [signerNumber(66)])
    expect(await put(fleet, { 'model-camera': stranger })).toBe('tuf.signature')
    const other = buildRole('model-motor', 1, [], { signers: [camera] })
    expect(await put(fleet, { 'model-motor': other })).toBe('delegation.unknown')
    expect(await put(fleet, { 'model-camera': cameraRole(4, []) })).toBe('tuf.rollback')
    const late = buildRole('model-camera', 2, [], { signers: [camera], expiresMs: 1_000_000 })
    expect(await put(fleet, { 'model-camera': late })).toBe('tuf.expired')
    const oddly = toModel('camera', { name: '../camera' })
    expect(await put(fleet, { targets: targets(2, [oddly]) })).toBe('delegation.name')
  })

  it('hide by its absence that a release was revoked', async () => {
    const fleet = await buildFleet()
    await fleet.publish([ofCamera('1.0.0')], 1)
    await fleet.publish([], 2)
    const missing = { targets: targets(3, [toModel('camera')]) }
    expect(await put(fleet, missing)).toBe('delegation.missing')
    expect(await put(fleet, { ...missing, 'model-camera': cameraRole(1, []) })).toBe('ok')
    expect(await found(fleet, MANIFEST)).toBe('tuf.target_unknown')
  })

  it('outlive its key: other keys come with what they signed', async () => {
    const fleet = await delegated()
    const moved = { targets: targets(2, [toModel('camera', { keys: [secondCamera.key] })]) }
    expect(await put(fleet, moved)).toBe('tuf.signature')
    const signed = cameraRole(2, [ofCamera('1.0.0')], [secondCamera])
    expect(await put(fleet, { ...moved, 'model-camera': signed })).toBe('ok')
    expect(await found(fleet, MANIFEST)).toBe('targets > model-camera')
  })
})

describe('a role that two must sign', () => {
  it('waits with one signature, and is served with both', async () => {
    const fleet = await delegated()
    const { application } = fleet.controller
    const keys = [camera.key, secondCamera.key]
    const both = cameraRole(2, [ofCamera('1.0.0')], [camera, secondCamera])
    const plan = [toModel('camera', { keys, threshold: 2 })]
    expect(await put(fleet, { targets: targets(2, plan), 'model-camera': both })).toBe('ok')
    const one = new Map([['model-camera', cameraRole(3, [])]])
    const waits = unwrap(await application.putRoles(one, ada))
    expect(waits).toEqual({
      releases: [],
      waiting: [{ role: 'model-camera', signatures: 1, threshold: 2 }],
    })
    expect(await found(fleet, MANIFEST)).toBe('targets > model-camera')
    const waiting = await application.tufMetadata('waiting.model-camera.json')
    expect(unwrap(waiting)).toEqual(one.get('model-camera'))
    const signed = { 'model-camera': cameraRole(3, [], [camera, secondCamera]) }
    expect(await put(fleet, signed)).toBe('ok')
    expect(await found(fleet, MANIFEST)).toBe('tuf.target_unknown')
    expect(codeOf(await application.tufMetadata('waiting.model-camera.json'))).toBe('tuf.not_found')
  })
})
