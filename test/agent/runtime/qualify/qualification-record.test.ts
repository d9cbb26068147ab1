/** Records of qualifications: who signed them and what they hold for decides whether they count. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import {
  bindingOf,
  openRecord,
  type QualificationRecord,
  type RecordBinding,
  sealRecord,
} from '../../../../agent/runtime/qualify/qualification-record.ts'
import { createRecordStore } from '../../../../agent/runtime/qualify/record-store.ts'
import { fromUtf8, utf8 } from '../../../../shared/kernel/bytes.ts'
import { unwrap } from '../../../../shared/kernel/result.ts'
import { generatePrivateKey, nodeSigner } from '../../../../shared/node/signer-node.ts'
import { nodeVerifier } from '../../../../shared/node/verifier-node.ts'
import { PROFILE, writeRelease } from '../release-builder.ts'

const folder = mkdtempSync(join(tmpdir(), 'linnet-record-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const signer = nodeSigner(generatePrivateKey('ed25519'))
const trust = { key: signer.key, verifier: nodeVerifier }
const release = writeRelease(folder)
const { sha256 } = release.release
const surroundings = {
  ...{
    runtimeVersion: '1.30.0',
    machine: 'linux/x64 bench 0123',
    drivers: '6.1',
    profile: PROFILE,
  },
}
const binding = bindingOf(release, surroundings)
const record: QualificationRecord = {
  binding,
  qualification: {
    ...{ sha256, runtimeVersion: '1.30.0', chosen: 'cpu', threads: 2 },
    attempts: [
      ...[{ provider: 'cpu' as const, options: 'threads=2', outcome: 'chosen' as const }].map(
        (attempt) => ({ ...attempt, reason: '', goldenDifferenceMax: 1.5e-7 }),
      ),
    ],
    ...{ loadMs: 12.25, firstRunMs: 1.5, steadyMsP50: 0.5, steadyMsP95: 0.75, residentMb: 80.5 },
    peakMb: null,
  },
  settings: { threads: 2, layout: null, spinning: true, batching: null },
  optimised: { sha256: 'a'.repeat(64), length: 512 },
}
const sealed = unwrap(await sealRecord(record, signer))

/** Everything that a proof holds for, and what it may have become. */
const CHANGED: RecordBinding = {
  ...{
    source: 'b'.repeat(64),
    golden: 'c'.repeat(64),
    tolerance: 'absolute=0.1 relative=0.1 nan=never',
  },
  tensors: 'd'.repeat(64),
  ...{ runtimeVersion: '1.31.0', machine: 'linux/x64 bench 4567', drivers: '6.2' },
  ...{ providers: 'webgpu,cpu', limits: 'threads=2 memoryMb=512 bytes=67108864' },
}

describe('A qualification record', () => {
  it('comes back as it was sealed', () => {
    expect(openRecord(sealed, binding, trust)).toEqual({ ok: true, value: record })
  })

  it.each(Object.keys(CHANGED) as (keyof RecordBinding)[])(
    'is outdated when the %s is another',
    (field) => {
      const now = { ...binding, [field]: CHANGED[field] }
      expect(openRecord(sealed, now, trust)).toMatchObject({
        ok: false,
        error: { code: 'record.outdated', expected: CHANGED[field], found: binding[field] },
      })
    },
  )

  it.each([
    ...Object.entries(CHANGED),
    ['settings.threads', 64],
    ['optimised.sha256', 'd'.repeat(64)],
    ['qualification.chosen', 'webgpu'],
  ])('is refused when somebody edits its %s', (field, value) => {
    const envelope = JSON.parse(fromUtf8(sealed) ?? '')
    const inside = JSON.parse(envelope.signed.record)
    const [part, name] = field.includes('.') ? field.split('.') : ['binding', field]
    inside[part!][name!] = value
    envelope.signed.record = JSON.stringify(inside)
    expect(openRecord(utf8(JSON.stringify(envelope)), binding, trust)).toMatchObject({
      ok: false,
      error: { code: 'record.signature' },
    })
  })

  it('of another device is refused', async () => {
    const other = unwrap(await sealRecord(record, nodeSigner(generatePrivateKey('ed25519'))))
    expect(openRecord(other, binding, trust)).toMatchObject({
      ok: false,
      error: { code: 'record.signature' },
    })
  })

  it.each([['{'], ['[]'], ['{"signed":{},"signatures":[]}']])('is no %s', (text) => {
    expect(openRecord(utf8(text), binding, trust).ok).toBe(false)
  })
})

const NAN_EQUAL = { ...release.variant.tolerance, nan: 'equal' as const }
function batchable() {
  const { manifest } = release
  return { ...manifest, inputs: manifest.inputs.map((input) => ({ ...input, batchAxis: 0 })) }
}

describe('The store of records', () => {
  const open = (directory: string, more: object = {}) =>
    createRecordStore({ directory, surroundings, signer, ...more })

  it('knows a record after a restart, with its settings', async () => {
    const directory = join(folder, 'restart')
    await open(directory).keep(release, record)
    const again = open(directory)
    expect(await again.find(release)).toEqual({ ok: true, value: record })
    expect(again.settings(record)).toEqual({
      ...record.settings,
      optimised: { ...record.optimised, path: again.optimisedPath(release) },
    })
  })

  it('keeps nothing on the disk without a key', async () => {
    const directory = join(folder, 'unsigned')
    const store = open(directory, { signer: undefined })
    await store.keep(release, record)
    expect((await store.find(release)).ok).toBe(true)
    expect(readdirSync(directory)).toEqual([])
    expect(await open(directory, { signer: undefined }).find(release)).toMatchObject({
      ok: false,
      error: { code: 'record.missing' },
    })
  })

  it('that cannot be written lasts until the restart, and nothing else fails', async () => {
    const directory = join(folder, 'gone')
    const store = open(directory)
    rmSync(directory, { recursive: true })
    writeFileSync(directory, 'a file where the folder was')
    await store.keep(release, record)
    expect(await store.find(release)).toEqual({ ok: true, value: record })
  })

  it('does not know a file that somebody changed', async () => {
    const directory = join(folder, 'changed')
    await open(directory).keep(release, record)
    const [name = ''] = readdirSync(directory)
    const path = join(directory, name)
    writeFileSync(path, readFileSync(path, 'utf8').replace('\\"threads\\":2', '\\"threads\\":9'))
    expect(await open(directory).find(release)).toMatchObject({
      ok: false,
      error: { code: 'record.signature' },
    })
  })

  it.each([
    ['passes NaN', { variant: { ...release.variant, tolerance: NAN_EQUAL } }],
    ['says what may be batched', { manifest: batchable() }],
  ])('knows no record of a release that %s where the proved one did not', async (_, more) => {
    const store = open(join(folder, 'subject'))
    await store.keep(release, record)
    expect(await store.find({ ...release, ...more })).toMatchObject({
      error: { code: 'record.missing' },
    })
  })

  it('tells releases apart that share a model file and differ in their golden vectors', async () => {
    const directory = join(folder, 'shared')
    const other = {
      ...release,
      variant: { ...release.variant, tolerance: { absolute: 1, relative: 0 } },
    }
    await open(directory).keep(release, record)
    expect(await open(directory).find(other)).toMatchObject({
      ok: false,
      error: { code: 'record.missing' },
    })
    const store = open(directory)
    const settings = { ...record.settings, threads: 3 }
    await store.keep(other, { ...record, settings })
    expect(unwrap(await open(directory).find(release)).settings.threads).toBe(2)
    expect(unwrap(await open(directory).find(other)).settings.threads).toBe(3)
    expect(store.optimisedPath(other)).not.toBe(store.optimisedPath(release))
  })
})
