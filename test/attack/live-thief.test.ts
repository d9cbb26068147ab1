/**
 * The controller's home is stolen: real agents, one of them under a thief who runs a broker and a
 * server on the controller's ports with all of its online keys (design page trust.md, 1). Whatever he
 * signs, what serves stays what the publishers signed, requests are answered throughout, and each
 * attempt is told as what it looked like.
 */
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { TRUST_FILE } from '../../agent/artifact/trust-memory.ts'
import { utf8 } from '../../shared/kernel/bytes.ts'
import { unwrap } from '../../shared/kernel/result.ts'
import { sha256Hex } from '../../shared/kernel/sha256.ts'
import type { Assignment } from '../../shared/model/assignment.ts'
import type { AttackKind } from '../../shared/model/attack.ts'
import { type TrustRecord, trustRecordSchema } from '../../shared/model/release-record.ts'
import type { JsonObject } from '../../shared/signing/canonical-json.ts'
import { envelopeBytes, signEnvelope } from '../../shared/signing/envelope.ts'
import type { SyncSigner } from '../../shared/signing/keys.ts'
import { buildMotorFleet, MODEL, type MotorFleet, POLICY } from '../e2e/motor-fleet.ts'
import { until } from '../e2e/stage.ts'
import { plunder, Thief } from './thief.ts'

const DEVICE = 'press'
const OTHER = 'spare'
const DAY_MS = 86_400_000
const DEMO = new URL(`../../controller/demo/models/${MODEL}/`, import.meta.url).pathname

let fleet: MotorFleet
let thief: Thief
let loot: string
let honestDigest: string

beforeAll(async () => {
  fleet = await buildMotorFleet(
    { [DEVICE]: 'raspberry-pi-5', [OTHER]: 'intel-n100' },
    { seed: 'thief', requestsPerSecond: 25 },
  )
  // 1.0.0 has served and is withdrawn; 1.1.0 serves and supersedes 1.0.1; 1.2.0 is signed and runs
  // nowhere; 1.4.0 is for others; 1.5.0 stands in staging.
  await publish('1.0.1', '1.0.0')
  await publish('1.1.0', '1.1.0', { minCounter: 3 })
  const id = await fleet.startRollout({
    ...{ model: MODEL, candidate: '1.1.0', baseline: '1.0.0', policy: POLICY },
    waves: [{ percent: 100, trafficPercent: 50 }],
  })
  await until('1.1.0 promoted', async () => (await fleet.rollout(id)).state === 'promoted', 120_000)
  await fleet.everywhere('1.1.0')
  await publish('1.2.0', '1.2.0')
  await publish('1.4.0', '1.2.0', { profiles: ['jetson-orin-nano'] })
  await splitStaging()
  await publish('1.5.0', '1.2.0')
  await fleet.tell('release', 'revoke', `${MODEL}@1.0.0`, '--yes')
  await fleet.program('controller').kill('SIGTERM')
  loot = await mkdtemp(join(tmpdir(), 'linnet-loot-'))
  await cp(fleet.home, loot, { recursive: true, filter: (path) => !path.includes('/devices') })
  honestDigest = await servingDigest()
  const http = Number(new URL(fleet.url).port)
  thief = await Thief.listen(await plunder(loot), { http, mqtt: fleet.mqttPort })
  // Devices come back to whoever listens there.
  await until('the device speaks to the thief', async () => thief.heard.has(DEVICE), 150_000)
}, 400_000)

afterAll(async () => {
  await fleet?.end()
  await thief?.close().catch(() => undefined)
  if (loot !== undefined) await rm(loot, { recursive: true, force: true })
}, 60_000)

async function publish(
  version: string,
  like: string,
  change: { minCounter?: number; profiles?: string[] } = {},
): Promise<void> {
  const release = `${MODEL}@${version}`
  const spec = JSON.parse(await readFile(join(DEMO, like, 'release.json'), 'utf8'))
  const [variant] = spec.variants as { profiles: string[] }[]
  const profiles = change.profiles ?? variant!.profiles
  const file = join(DEMO, like, `thief-${version}.json`)
  await writeFile(file, JSON.stringify({ ...spec, version, variants: [{ ...variant, profiles }] }))
  try {
    await fleet.tell('release', 'create', '--spec', file)
  } finally {
    await rm(file)
  }
  const { minCounter } = change
  const flags = minCounter === undefined ? [] : ['--min-counter', `${minCounter}`]
  await fleet.tell('release', 'sign', release, ...flags)
  await fleet.tell('release', 'publish', release)
}

/** From here on releases begin in staging, and two publishers bring them to production. */
async function splitStaging(): Promise<void> {
  const bob = join(fleet.home, 'bob')
  const file = join(fleet.home, 'bob.json')
  const asBob = async (...args: string[]) => fleet.tell(...args, '--home', bob, '--token', token)
  const token = (await readFile(join(fleet.home, 'token'), 'utf8')).trim()
  await writeFile(file, JSON.stringify(await asBob('key', 'publisher')))
  await cp(join(fleet.home, 'publisher/root.json'), join(bob, 'publisher/root.json'))
  await fleet.tell('key', 'delegate', '--staging', '--key', file)
  await asBob('release', 'cosign', '--role', 'production', '--yes')
  await asBob('release', 'publish')
}

const homeOf = (name: string) => fleet.devices.find(({ device }) => device === name)!.home

/** What a device remembers of withdrawals and of the time. */
async function trustOf(device: string): Promise<TrustRecord> {
  const text = await readFile(join(homeOf(device), 'releases', TRUST_FILE), 'utf8')
  return trustRecordSchema.parse(JSON.parse(text))
}

/** What the device has durably decided to serve, by digest. */
async function servingDigest(): Promise<string> {
  const durable = JSON.parse(await readFile(join(homeOf(DEVICE), 'state.json'), 'utf8'))
  const slots = durable.models.find(({ model }: { model: string }) => model === MODEL)
  return [slots.current, slots.candidate].map((slot) => slot?.sha256 ?? '-').join(' ')
}

const motor = (version: string) => thief.signedSlot(MODEL, version)
const rogue = utf8('not what anybody signed')
const rogueTarget = { length: rogue.length, hashes: { sha256: sha256Hex(rogue) } }

interface Attempt {
  readonly does: string
  readonly kind: AttackKind
  readonly code: string
  /** The assignment that he signs for the device, after whatever else he does. */
  readonly act: () => Partial<Assignment> | Promise<Partial<Assignment>>
}

const resigned = (role: string, change: (signed: JsonObject) => JsonObject) => ({
  [role]: { signed: change(thief.newest(role)), by: [thief.loot.snapshot, thief.loot.timestamp] },
})

const ATTEMPTS: readonly Attempt[] = [
  {
    does: 'names a model that was never published',
    ...{ kind: 'wrong_assignment', code: 'assignment.target_mismatch' },
    act: () => ({
      slots: [{ ...motor('1.1.0'), model: 'rogue', target: 'rogue/1.0.0/fp32.onnx' }],
    }),
  },
  {
    does: 'names a signed release with the digest of his own file',
    ...{ kind: 'wrong_assignment', code: 'assignment.target_mismatch' },
    act: () => ({ slots: [{ ...motor('1.2.0'), sha256: sha256Hex(rogue), length: rogue.length }] }),
  },
  {
    does: 'hides that a release was withdrawn, and gives it back to who has it',
    ...{ kind: 'rollback', code: 'release.revoked' },
    async act() {
      const { target } = motor('1.0.0')
      // What it looked at last told of the withdrawal; from here on it is told nothing.
      const minSnapshot = thief.sign({})
      await thief.assign(DEVICE, thief.assignment(DEVICE, { minSnapshot }))
      const known = async () => (await trustOf(DEVICE)).revoked.map((one) => one.target)
      await until('it knows', async () => (await known()).includes(target), 60_000, known)
      thief.isSilent = true
      return { slots: [motor('1.0.0')] }
    },
  },
  {
    does: 'serves the targets from before a withdrawal again',
    ...{ kind: 'rollback', code: 'tuf.rollback' },
    act: () => {
      const meta = { ...(thief.newest('snapshot').meta as Record<string, JsonObject>) }
      const version = thief.lastListing('targets', motor('1.0.0').target)
      const before = { ...meta['targets.json'], version }
      const minSnapshot = thief.sign({}, { meta: { ...meta, 'targets.json': before } })
      return { slots: [motor('1.2.0')], minSnapshot }
    },
  },
  {
    does: 'goes back to a superseded release',
    ...{ kind: 'rollback', code: 'release.superseded' },
    act: () => ({ slots: [motor('1.0.1')] }),
  },
  {
    does: 'gives it a release for another profile',
    ...{ kind: 'wrong_assignment', code: 'release.profile' },
    act: () => ({ slots: [motor('1.4.0')] }),
  },
  {
    does: 'gives it a release that is not proven yet',
    ...{ kind: 'wrong_assignment', code: 'release.unproven' },
    act: () => ({ slots: [motor('1.5.0')] }),
  },
  {
    does: 'gives out another file under a signed digest',
    ...{ kind: 'arbitrary_software', code: 'artifact.digest' },
    act: () => {
      const slot = motor('1.2.0')
      thief.swapped.set(slot.sha256, new Uint8Array(slot.length).fill(7))
      return { slots: [slot] }
    },
  },
  {
    does: 'signs targets of his own',
    ...{ kind: 'arbitrary_software', code: 'tuf.signature' },
    act: () => {
      const target = `${MODEL}/6.6.6/fp32.onnx`
      const files = resigned('targets', (signed) => ({
        ...signed,
        version: Number(signed.version) + 1,
        targets: { ...(signed.targets as JsonObject), [target]: rogueTarget },
      }))
      const { sha256 } = rogueTarget.hashes
      const slot = { ...motor('1.2.0'), target, sha256, length: rogue.length }
      return { slots: [slot], minSnapshot: thief.sign(files) }
    },
  },
  {
    does: 'makes himself the root',
    ...{ kind: 'arbitrary_software', code: 'tuf.signature' },
    act: () => {
      const root = thief.newest('root')
      const version = Number(root.version) + 1
      const by: SyncSigner[] = [thief.loot.director, thief.loot.snapshot, thief.loot.timestamp]
      const bytes = envelopeBytes(unwrap(signEnvelope({ ...root, version }, by)))
      thief.metadata.set(`${version}.root.json`, bytes)
      return { slots: [motor('1.2.0')], minSnapshot: thief.sign({}) }
    },
  },
  {
    does: 'raises the epoch of the director',
    ...{ kind: 'wrong_assignment', code: 'assignment.epoch' },
    act: () => ({ directorEpoch: thief.assignment(DEVICE).directorEpoch + 1 }),
  },
  {
    does: 'goes back in generations',
    ...{ kind: 'rollback', code: 'assignment.generation' },
    act: () => ({ generation: 1, slots: [motor('1.2.0')] }),
  },
  {
    does: 'gives it what another device was assigned',
    ...{ kind: 'wrong_assignment', code: 'assignment.device' },
    act: () => thief.assignment(OTHER),
  },
  {
    does: 'signs for another key of the device',
    ...{ kind: 'wrong_assignment', code: 'assignment.device_key' },
    act: () => ({ deviceKey: thief.assignment(OTHER).deviceKey }),
  },
]

/** Answered since, and not one lost. */
async function requestsGoOn(sinceAnswered: number): Promise<void> {
  const { traffic } = fleet
  const counts = traffic.counts.get(DEVICE)!
  await until('ten more answers', async () => counts.answered >= sinceAnswered + 10)
  expect(Object.fromEntries(counts.failures)).toEqual({})
  expect([...counts.byVersion.keys()].toSorted()).toEqual(['1.0.0', '1.1.0'])
}

async function nothingChanged(sinceAnswered: number): Promise<void> {
  expect(await servingDigest()).toBe(honestDigest)
  await requestsGoOn(sinceAnswered)
}

/** What was stolen is served again, and what already runs is assigned again: it is taken. */
async function honestAgain(): Promise<void> {
  thief.restore()
  const assignment = thief.assignment(DEVICE)
  await thief.assign(DEVICE, assignment)
  const { generation } = assignment
  await until('it is taken', async () => thief.reports.at(-1)?.generation === generation)
  expect(await servingDigest()).toBe(honestDigest)
}

describe('a thief with the home of the controller', () => {
  // First: what he does after it he does in that time.
  test('may tell a time to come, while what the publishers signed is valid', async () => {
    const { answered } = fleet.traffic.counts.get(DEVICE)!
    thief.timeMs = Date.now() + 10 * DAY_MS
    await thief.assign(DEVICE, thief.assignment(DEVICE, { minSnapshot: thief.sign({}) }))
    const floorMs = async () => (await trustOf(DEVICE).catch(() => undefined))?.floorMs
    await until('it is believed', async () => (await floorMs()) === thief.timeMs, 60_000, floorMs)
    await nothingChanged(answered)
  })

  test.each(ATTEMPTS.map((row) => [row.does, row] as const))(
    '%s',
    { timeout: 180_000 },
    async (_, { kind, code, act }) => {
      const { answered } = fleet.traffic.counts.get(DEVICE)!
      const sinceMs = Date.now()
      const change = await act()
      await thief.assign(DEVICE, thief.assignment(DEVICE, change))
      const told = () =>
        thief.notices.filter(({ atMs }) => atMs >= sinceMs).map((n) => [n.attack, n.problem.code])
      await until(
        `${kind} ${code}`,
        async () => told().some(([attack, found]) => attack === kind && found === code),
        60_000,
        told,
      )
      await nothingChanged(answered)
      const reported = () => thief.reports.at(-1)?.attacks?.map((attack) => attack.kind) ?? []
      await until(`${kind} reported`, async () => reported().includes(kind), 60_000, reported)
      await honestAgain()
    },
  )

  test('changes nothing by an empty assignment, nor by a command', async () => {
    const { answered } = fleet.traffic.counts.get(DEVICE)!
    await thief.publish('dn/desired', DEVICE, new Uint8Array())
    await thief.publish('dn/command', DEVICE, utf8('{"command":"rollback"}'))
    await nothingChanged(answered)
  })

  test('may sign the largest numbers, which new keys forget', { timeout: 420_000 }, async () => {
    const { answered } = fleet.traffic.counts.get(DEVICE)!
    const generation = Number.MAX_SAFE_INTEGER
    const largest = { snapshot: 1_000_000, timestamp: 1_000_000 }
    const minSnapshot = thief.sign({}, largest)
    await thief.assign(DEVICE, thief.assignment(DEVICE, { generation, minSnapshot }))
    await until('it is taken', async () => thief.reports.at(-1)?.generation === generation)
    await nothingChanged(answered)

    await thief.close()
    await fleet.startControllerAgain()
    await fleet.tell('key', 'rotate', '--director', '--snapshot', '--timestamp')
    const id = await fleet.startRollout({
      ...{ model: MODEL, candidate: '1.2.0', baseline: '1.1.0', policy: POLICY },
      waves: [{ percent: 100, trafficPercent: 50 }],
    })
    const promoted = async () => (await fleet.rollout(id)).state === 'promoted'
    await until('1.2.0 promoted', promoted, 200_000, () => fleet.rollout(id))
    // It may ask for the time once a minute.
    const floorMs = async () => (await trustOf(DEVICE)).floorMs
    const isForgotten = async () => (await floorMs()) < thief.timeMs!
    await until('his time is forgotten', isForgotten, 150_000, floorMs)
    await fleet.everywhere('1.2.0')
    const counts = fleet.traffic.counts.get(DEVICE)!
    expect(Object.fromEntries(counts.failures)).toEqual({})
  })
})
