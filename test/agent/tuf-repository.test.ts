import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { TufRepository } from '../../agent/artifact/tuf-repository.ts'
import { loadProfile } from '../../agent/firmware-profile.ts'
import type { SmallFiles } from '../../agent/ports.ts'
import { unwrap } from '../../shared/kernel/result.ts'
import type { FirmwareProfile } from '../../shared/model/profile.ts'
import { fetchBounded } from '../../shared/node/http-download.ts'
import { nodeVerifier } from '../../shared/node/verifier-node.ts'
import type { TufPorts } from '../../shared/signing/tuf/effects.ts'
import { releaseOf } from '../../shared/update/slots.ts'
import { anAssignment, aSha, aSlot } from '../fixtures/device-builders.ts'
import { LittleController } from './little-controller.ts'

const LIMITS = { deadlineMs: 5_000, bytesPerSecondMin: 64 }
const DAY_MS = 86_400_000
const NEVER = { directorEpoch: 0, generation: -1, digest: '' }

let controller: LittleController
let isOnline: boolean
let nowMs: number
let trusted: Map<string, Uint8Array>
let kept: Map<string, string>
const profiles = new Map<string, FirmwareProfile>()

beforeEach(async () => {
  controller = await LittleController.start()
  isOnline = true
  nowMs = Date.now()
  trusted = new Map([['root', controller.files.get('/tuf/metadata/1.root.json')!]])
  kept = new Map()
  for (const name of ['raspberry-pi-5', 'raspberry-pi-zero-2w']) {
    profiles.set(name, unwrap(await loadProfile(name)))
  }
})
afterEach(() => controller.close())

const small: SmallFiles = {
  read: async (name) => kept.get(name),
  write: async (name, text) => void kept.set(name, text),
  names: async () => [...kept.keys()],
  remove: async (name) => void kept.delete(name),
}

function aRepository(profile = 'raspberry-pi-5'): TufRepository {
  const get = (path: string, bytesMax: number) =>
    isOnline
      ? fetchBounded(`${controller.url}${path}`, { ...LIMITS, bytesMax })
      : Promise.resolve({
          kind: 'failed' as const,
          problem: { code: 'tuf.unavailable', message: 'No network.' },
        })
  const tuf: TufPorts = {
    verifier: nodeVerifier,
    load: (role) => trusted.get(role),
    fetch: (path, bytesMax) => get(`/tuf/metadata/${path}`, bytesMax),
    persist: (role, bytes) => void trusted.set(role, bytes),
    forget: (role) => void trusted.delete(role),
  }
  return new TufRepository({
    ...{ tuf, cache: small, targetsUrl: `${controller.url}/tuf/targets`, staging: false },
    fetchTarget: (path, bytesMax) => get(`/tuf/targets/${path}`, bytesMax),
    ...{ fleet: 'plant', device: 'press-1', deviceKey: aSha('key') },
    clock: { nowMs: () => nowMs, monotonicMs: () => nowMs },
    profile: profiles.get(profile)!,
  })
}

const slotOf = (version: string) => aSlot('current', version, controller.release(version))
const signed = (generation: number, slots: ReturnType<typeof aSlot>[], minSnapshot = 0) =>
  controller.sign(
    anAssignment(generation, slots, {
      ...{ issuedAt: nowMs, expiresAt: nowMs + DAY_MS * 365, directorEpoch: 1, minSnapshot },
    }),
  )
const codeOf = (result: { ok: boolean; error?: { code: string } }) => result.error?.code ?? 'ok'

describe('a release', () => {
  it('comes with the manifest and the variant that the publishers signed', async () => {
    const release = releaseOf(slotOf('1.0.0'))
    const resolved = unwrap(await aRepository().resolve(release))
    expect(resolved.manifest).toMatchObject({ model: 'motor', version: '1.0.0' })
    expect(resolved.variant.artifact.sha256).toBe(release.sha256)
    const url = aRepository().artifactUrl(release, resolved.variant.artifact)
    expect(controller.files.has(new URL(url).pathname)).toBe(true)
  })

  it('is known without a network once it was resolved, and only until it is collected', async () => {
    const release = releaseOf(slotOf('1.0.0'))
    expect(codeOf(await aRepository().installed(release))).toBe('release.not_on_device')
    await aRepository().resolve(release)
    isOnline = false
    expect(unwrap(await aRepository().installed(release)).manifest.version).toBe('1.0.0')
    const golden = unwrap(await aRepository().installed(release)).variant.golden.sha256
    expect(await aRepository().companions(new Set([release.sha256]))).toEqual([golden])
    expect(await aRepository().companions(new Set([aSha('other')]))).toEqual([])
    await aRepository().collectGarbage(new Set())
    expect(codeOf(await aRepository().installed(release))).toBe('release.not_on_device')
  })

  it('of a precision that the profile does not take is refused with the reason', async () => {
    const refused = await aRepository('raspberry-pi-zero-2w').resolve(releaseOf(slotOf('1.0.0')))
    expect(refused).toMatchObject({
      error: {
        code: 'variant.none_fits',
        found: 'fp32: precision fp32 is not in the profile',
      },
    })
  })

  it('that nobody signed is not there', async () => {
    controller.release('1.0.0')
    const unknown = releaseOf(aSlot('current', '9.9.9'))
    expect(codeOf(await aRepository().resolve(unknown))).toBe('tuf.target_unknown')
  })

  it('with another digest than the signed one is refused', async () => {
    const release = { ...releaseOf(slotOf('1.0.0')), sha256: aSha('other') }
    expect(codeOf(await aRepository().resolve(release))).toBe('trust.target_mismatch')
  })

  it('whose manifest was changed on the way is refused', async () => {
    const release = releaseOf(slotOf('1.0.0'))
    const path = [...controller.files.keys()].find((url) => url.endsWith('manifest.json'))!
    const bytes = Uint8Array.from(controller.files.get(path)!)
    bytes[20]! ^= 1
    controller.files.set(path, bytes)
    expect(codeOf(await aRepository().resolve(release))).toBe('tuf.mix_and_match')
  })
})

describe('an assignment', () => {
  it('of a release published after the last look is checked against newer metadata', async () => {
    const repository = aRepository()
    unwrap(await repository.checkAssignment(signed(1, [slotOf('1.0.0')]), NEVER, []))
    const next = signed(2, [slotOf('1.1.0')])
    expect(unwrap(await repository.checkAssignment(next, NEVER, []))).toMatchObject({ isNew: true })
  })

  it('that the device follows already is nothing new', async () => {
    const repository = aRepository()
    const envelope = signed(1, [slotOf('1.0.0')])
    const { digest } = unwrap(await repository.checkAssignment(envelope, NEVER, []))
    const order = { directorEpoch: 1, generation: 1, digest }
    expect(unwrap(await repository.checkAssignment(envelope, order, [])).isNew).toBe(false)
  })

  it('of something new waits while the metadata are out of reach', async () => {
    const envelope = signed(1, [slotOf('1.0.0')])
    isOnline = false
    expect(codeOf(await aRepository().checkAssignment(envelope, NEVER, []))).toBe('tuf.unavailable')
  })

  it('back to a release that was verified here needs no metadata', async () => {
    const slot = slotOf('1.0.0')
    unwrap(await aRepository().resolve(releaseOf(slot)))
    isOnline = false
    const back = signed(5, [slot], 3)
    expect(unwrap(await aRepository().checkAssignment(back, NEVER, []))).toMatchObject({
      isNew: true,
    })
  })

  it('is taken back to a verified release after the metadata have expired, but to no other', async () => {
    const [slot, other] = [slotOf('1.0.0'), slotOf('1.1.0')]
    unwrap(await aRepository().resolve(releaseOf(slot)))
    nowMs += 30 * DAY_MS
    expect(codeOf(await aRepository().checkAssignment(signed(5, [slot]), NEVER, []))).toBe('ok')
    const refused = await aRepository().checkAssignment(signed(6, [other]), NEVER, [])
    expect(codeOf(refused)).toBe('tuf.expired')
  })

  it('forged many times makes the device look for newer metadata twelve times a minute', async () => {
    const repository = aRepository()
    const forged = signed(1, []).replace('"generation":1', '"generation":7')
    for (let i = 0; i < 30; i++) {
      expect(codeOf(await repository.checkAssignment(forged, NEVER, []))).toBe(
        'assignment.signature',
      )
    }
    const looks = controller.requests.filter((url) => url.endsWith('/timestamp.json'))
    expect(looks).toHaveLength(12)
  })
})
