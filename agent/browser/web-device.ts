/**
 * What this browser is as a device: its key, its stores, its firmware profile, and what the engine may
 * use here, with the reason for everything that it lacks.
 */
import { ok, type Result, refuse } from '../../shared/kernel/result.ts'
import type { DeviceFacts } from '../../shared/model/device.ts'
import { type FirmwareProfile, profileSchema } from '../../shared/model/profile.ts'
import type { Surroundings } from '../runtime/qualify/qualification-record.ts'
import { AGENT_VERSION } from '../version.ts'
import { openRecords, type Records } from './records.ts'
import { openWebFiles, type WebFiles } from './web-files.ts'
import { type DeviceKey, openDeviceKey } from './web-identity.ts'
import { webnnMissing } from './webnn.ts'
import type { EngineChoice } from './worker-protocol.ts'

/** Of the npm package that the page was built with. */
export const RUNTIME_VERSION = '1.30.0'

const THREADS_MAX = 4

export interface WebDevice {
  readonly records: Records
  readonly files: WebFiles
  readonly key: DeviceKey
  readonly profile: FirmwareProfile
  readonly engine: EngineChoice
  /** Empty where webgpu can be tried. */
  readonly gpuMissing: string
  /** A proof holds for this browser on this machine. */
  readonly surroundings: Omit<Surroundings, 'profile'>
  readonly facts: DeviceFacts
  /** Sentences on what this browser or page lacks, for people. */
  readonly lacks: readonly string[]
}

/**
 * @param profiles folder of the firmware profiles, as a URL with a slash at its end.
 * Errors: `profile.unavailable`.
 */
export async function openWebDevice(profiles: URL): Promise<Result<WebDevice>> {
  const records = await openRecords('linnet')
  const files = await openWebFiles(records, 'linnet-artifacts')
  const key = await openDeviceKey(records)
  const { missing: gpuMissing, name } = await findGpu()
  const profile = await openProfile(records, profiles, gpuMissing === '')
  if (!profile.ok) return profile
  const cores = Math.max(1, navigator.hardwareConcurrency)
  const { threadsMax } = profile.value.limits
  const threads = globalThis.crossOriginIsolated ? Math.min(cores, threadsMax, THREADS_MAX) : 1
  const device = { records, files, key, profile: profile.value, gpuMissing }
  const nnMissing = webnnMissing()
  return ok({
    ...device,
    engine: { gpu: gpuMissing === '' || nnMissing === '', threads },
    surroundings: {
      runtimeVersion: RUNTIME_VERSION,
      machine: `${navigator.userAgent} cores=${cores}`,
      drivers: `${gpuMissing === '' ? name : gpuMissing}; ${nnMissing || 'WebNN'}`,
    },
    facts: factsOf(profile.value, cores),
    lacks: lacksOf(device),
  })
}

function factsOf({ name, memoryMb }: FirmwareProfile, cores: number): DeviceFacts {
  const memoryGb = (navigator as { deviceMemory?: number }).deviceMemory
  return {
    profile: name,
    labels: { kind: 'browser' },
    agentVersion: AGENT_VERSION,
    runtimeVersion: RUNTIME_VERSION,
    platform: `browser/${browserName()}`,
    cores,
    memoryMb: memoryGb === undefined ? memoryMb : memoryGb * 1024,
  }
}

function browserName(): string {
  const { userAgent } = navigator
  const known = /\b(Edg|Firefox|Chrome|Safari)\/(\d+)/.exec(userAgent)
  return known === null ? 'unknown' : `${known[1]}-${known[2]}`.toLowerCase()
}

interface GpuAdapter {
  readonly info?: Partial<Record<(typeof ADAPTER_FIELDS)[number], unknown>>
  readonly features?: Iterable<string>
}
/** GPUAdapterInfo of WebGPU; a browser may leave some empty. */
const ADAPTER_FIELDS = [
  ...(['vendor', 'architecture', 'device', 'description', 'isFallbackAdapter'] as const),
  ...(['subgroupMinSize', 'subgroupMaxSize'] as const),
]

/** `missing`: the reason, or an empty text; `name` changes when what is told of the adapter does. */
async function findGpu(): Promise<{ readonly missing: string; readonly name: string }> {
  const lacking = (missing: string) => ({ missing, name: '' })
  const { gpu } = navigator as { gpu?: { requestAdapter(): Promise<GpuAdapter | null> } }
  if (gpu === undefined) return lacking('this browser or page has no WebGPU')
  if (!('Suspending' in WebAssembly)) {
    return lacking('this browser cannot suspend WebAssembly (JSPI)')
  }
  const adapter = await gpu.requestAdapter().catch(() => null)
  if (adapter === null) return lacking('WebGPU offers no adapter on this machine')
  const { info = {}, features = [] } = adapter
  const told = ADAPTER_FIELDS.map((field) => `${field}=${String(info[field] ?? '')}`)
  return { missing: '', name: [...told, ...[...features].toSorted()].join(' ').slice(0, 2_000) }
}

/** A device keeps the profile that it enrolled with. */
async function openProfile(
  records: Records,
  folder: URL,
  hasGpu: boolean,
): Promise<Result<FirmwareProfile>> {
  const kept = await records.get('device', 'profile')
  const suggested = /Android/.test(navigator.userAgent)
    ? 'android-browser'
    : hasGpu
      ? 'desktop-browser-webgpu'
      : 'browser-wasm'
  const name = typeof kept === 'string' ? kept : suggested
  const response = await fetch(new URL(`${name}.json`, folder)).catch(() => undefined)
  const json: unknown = response?.ok ? await response.json().catch(() => undefined) : undefined
  const profile = profileSchema.safeParse(json)
  if (!profile.success) {
    return refuse('profile.unavailable', `The firmware profile ${name} cannot be read.`, {
      found: response === undefined ? 'no answer' : `status ${response.status}`,
      next: 'npm run build, then reload this page',
    })
  }
  await records.put('device', 'profile', name)
  return ok(profile.data)
}

function lacksOf({
  records,
  files,
  key,
}: Pick<WebDevice, 'records' | 'files' | 'key'>): readonly string[] {
  const lacks = [
    !globalThis.isSecureContext && 'No secure context (HTTPS or localhost): no WebCrypto.',
    key.protection !== 'not extractable' && 'The device key can be read by this page.',
    !records.isDurable && 'No storage: this device is forgotten with the page.',
    files.kind !== 'origin-private file system' && `Models are kept in ${files.kind}.`,
    !globalThis.crossOriginIsolated && 'The page is not isolated: WebAssembly has one thread.',
  ]
  return lacks.filter((sentence) => sentence !== false)
}
