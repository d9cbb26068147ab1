/** Devices, releases and rollouts as the controller tells them, with every verdict truly judged. */
import type {
  DecisionResource,
  DeviceResource,
  HealthResource,
  ReleaseResource,
  RolloutResource,
} from '../../shared/api/resources.ts'
import { addArms, NO_COUNTS } from '../../shared/judge/arm-counts.ts'
import { judge, type ProfileCounts } from '../../shared/judge/judge.ts'
import { judgePolicySchema } from '../../shared/judge/policy.ts'
import type { Verdict } from '../../shared/judge/verdict.ts'
import { sha256Hex } from '../../shared/kernel/sha256.ts'
import { allowedCommands } from '../../shared/rollout/commands.ts'
import { rolloutSpecSchema } from '../../shared/rollout/spec.ts'

export const MODEL = 'motor-vibration'
export const PROFILES = ['raspberry-pi-5', 'jetson-orin-nano', 'intel-n100', 'raspberry-pi-zero-2w']
const POLICY = judgePolicySchema.parse({})

const MINUTE_MS = 60_000

/** Any field can be given; the rest says: online, serving 1.0.0 as wanted. */
export function device(name: string, more: Partial<DeviceResource> = {}): DeviceResource {
  const nowMs = Date.now()
  const profile = PROFILES[[...name].reduce((sum, c) => sum + c.charCodeAt(0), 0) % 4]!
  return {
    device: name,
    fleet: 'plant-1',
    deviceKey: sha256Hex(name),
    facts: {
      profile,
      agentVersion: '0.1.0',
      runtimeVersion: '1.30.0',
      platform: 'linux-arm64',
      cores: 4,
      memoryMb: 4096,
      labels: { site: `hall-${(name.length % 3) + 1}` },
    },
    enrolledAtMs: nowMs - 300 * MINUTE_MS,
    presence: { status: 'online', boot: 'boot-1', sinceMs: nowMs - 200 * MINUTE_MS },
    lastSeenMs: nowMs - 2_000,
    generation: 3,
    desired: [desired('1.0.0')],
    report: report([slot('current', '1.0.0')]),
    qualifications: [qualification('1.0.0')],
    notices: [],
    converged: true,
    ...more,
  }
}

export function desired(
  current: string,
  candidate: string | null = null,
): DeviceResource['desired'][number] {
  const rollout = candidate === null ? null : { id: 'r-bad', wave: 1 }
  const trafficShare = candidate === null ? 0 : 250_000
  return { model: MODEL, current, candidate, trafficShare, shadow: 0, rollout }
}

type Report = NonNullable<DeviceResource['report']>

export function slot(
  name: 'current' | 'candidate' | 'previous',
  version: string,
): Report['slots'][number] {
  return {
    slot: name,
    model: MODEL,
    version,
    variant: 'fp32',
    sha256: sha256Hex(`${version} fp32`),
    provider: 'cpu',
    trafficShare: name === 'candidate' ? 250_000 : 0,
  }
}

export function report(slots: Report['slots'], more: Partial<Report> = {}): Report {
  return {
    directorEpoch: 1,
    generation: 3,
    status: 'applied',
    slots,
    job: null,
    failures: [],
    ...more,
  }
}

function qualification(version: string): DeviceResource['qualifications'][number] {
  return {
    sha256: sha256Hex(`${version} fp32`),
    runtimeVersion: '1.30.0',
    chosen: 'cpu',
    attempts: [
      {
        provider: 'cuda',
        options: '',
        outcome: 'unavailable',
        reason: 'not available: this build of ONNX Runtime has no CUDA provider',
        goldenDifferenceMax: null,
      },
      {
        provider: 'webgpu',
        options: 'layout=NHWC',
        outcome: 'refused',
        reason: 'golden vector 2: output logits differs by 0.31, tolerance 0.001',
        goldenDifferenceMax: 0.3127,
      },
      {
        provider: 'cpu',
        options: 'threads=2',
        outcome: 'chosen',
        reason: '',
        goldenDifferenceMax: 4.7e-7,
      },
    ],
    loadMs: 41.2,
    firstRunMs: 3.9,
    steadyMsP50: 0.61,
    steadyMsP95: 0.88,
    residentMb: 31.4,
    threads: 2,
  }
}

export function release(version: string, more: Partial<ReleaseResource> = {}): ReleaseResource {
  const artifact = (file: string, length: number) => ({
    file,
    sha256: sha256Hex(`${version} ${file.replace('.onnx', '')}`),
    length,
  })
  const variant = (name: 'fp32' | 'int8', profiles: string[], length: number) => ({
    name,
    precision: name,
    profiles,
    artifact: artifact(`${name}.onnx`, length),
    golden: artifact('golden.bin', 9_120),
    tolerance: { absolute: 0.001, relative: 0.01 },
  })
  return {
    model: MODEL,
    version,
    stage: 'registered',
    publishedAtMs: Date.now() - 90 * MINUTE_MS,
    publishedBy: 'ada',
    manifestSha256: sha256Hex(`manifest ${version}`),
    signedBy: [sha256Hex('publisher 1'), sha256Hex('publisher 2')],
    devices: 0,
    manifest: {
      schema: 'linnet.manifest.v1',
      model: MODEL,
      version,
      createdAtMs: Date.now() - 100 * MINUTE_MS,
      inputs: [{ name: 'vibration', datatype: 'FP32', shape: ['batch', 3, 128] }],
      outputs: [{ name: 'logits', datatype: 'FP32', shape: ['batch', 4] }],
      finiteInputs: ['vibration'],
      variants: [variant('fp32', [], 184_320), variant('int8', ['raspberry-pi-zero-2w'], 61_440)],
      features: [],
      reference: [],
      classes: { tensor: 'logits', names: ['still', 'healthy', 'imbalance', 'bearing fault'] },
      serviceLevels: {
        latencyMsMax: 20,
        latencyBadShareMax: 0.05,
        errorRateMax: 0.02,
        qualityDropMax: 0.05,
      },
      lineage: { data: 'two plants, forty motors', seed: '7' },
      evaluation: { accuracy: 0.967, macro_f1: 0.958 },
      description: 'Two convolutions, fitted on forty motors of two plants.',
    },
    ...more,
  }
}

/** Counts of one profile: `[requests, errors, too slow, labelled, right]` of each arm. */
export function counts(profile: string, baseline: number[], canary: number[]): ProfileCounts {
  const arm = ([
    requests = 0,
    errors = 0,
    latencyBad = 0,
    labelled = 0,
    correct = 0,
  ]: number[]) => ({ ...NO_COUNTS, requests, errors, latencyBad, labelled, correct })
  return { profile, baseline: arm(baseline), canary: arm(canary) }
}

export function verdictOf(profiles: readonly ProfileCounts[], wave = 0): Verdict {
  return judge({ policy: POLICY, wave, profiles, stale: false, latencyMsMax: 20 })
}

export function evidenceOf(profiles: readonly ProfileCounts[]): RolloutResource['evidence'] {
  const baseline = addArms(profiles.flatMap((entry) => entry.baseline ?? []))
  const pooled = { profile: '*', baseline, canary: addArms(profiles.map(({ canary }) => canary)) }
  return [pooled, ...profiles]
}

/** A running rollout of 1.1.0 over 1.0.0 unless told otherwise. */
export function rollout(id: string, more: Partial<RolloutResource> = {}): RolloutResource {
  const nowMs = Date.now()
  const state = more.state ?? 'running'
  return {
    id,
    spec: rolloutSpecSchema.parse({
      model: MODEL,
      candidate: '1.1.0',
      baseline: '1.0.0',
      waves: [
        { percent: 10, trafficPercent: 10, minSeconds: 20, maxSeconds: 3_600 },
        { percent: 30, trafficPercent: 25, minSeconds: 20, maxSeconds: 3_600 },
        { percent: 60, trafficPercent: 50, minSeconds: 20, maxSeconds: 3_600 },
        { percent: 100, trafficPercent: 95, minSeconds: 20, maxSeconds: 3_600 },
      ],
      policy: POLICY,
    }),
    state,
    wave: 1,
    wavePhase: 'observing',
    reason: { code: 'observing', sentence: 'Wave 2 of 4: no evidence yet.' },
    approvedBy: [],
    createdBy: 'ada',
    createdAtMs: nowMs - 12 * MINUTE_MS,
    startedAtMs: nowMs - 11 * MINUTE_MS,
    waveStartedAtMs: nowMs - 4 * MINUTE_MS,
    endedAtMs: null,
    verdict: null,
    evidence: [],
    totals: { canaryRequests: 0, canaryBad: 0 },
    devices: [],
    allowed: allowedCommands(state, 'admin'),
    ...more,
  }
}

export function cell(
  name: string,
  more: Partial<RolloutResource['devices'][number]> = {},
): RolloutResource['devices'][number] {
  const { profile } = device(name).facts
  return {
    device: name,
    profile,
    inCohort: true,
    online: true,
    candidate: 'serving',
    failureCode: null,
    ...more,
  }
}

export function decision(
  id: number,
  of: string,
  more: Partial<DecisionResource> = {},
): DecisionResource {
  return {
    id,
    rollout: of,
    atMs: Date.now() - (20 - id) * MINUTE_MS,
    actor: 'controller',
    action: 'promote',
    from: 'running',
    to: 'running',
    wave: 0,
    reason: { code: 'wave_passed', sentence: 'Wave 1 passed.' },
    verdict: null,
    inputsDigest: sha256Hex(`inputs ${id}`),
    inputs: [],
    ...more,
  }
}

export function health(devices: readonly DeviceResource[]): HealthResource {
  return {
    status: 'ok',
    fleet: 'plant-1',
    version: '0.1.0',
    startedAtMs: Date.now() - 210 * MINUTE_MS,
    devices: {
      enrolled: devices.length,
      online: devices.filter(({ presence }) => presence?.status === 'online').length,
    },
    messages: {
      received: 48_211,
      merged: 48_180,
      duplicates: 27,
      refused: { 'frame.signature': 4 },
    },
    broker: { clients: devices.length + 1, refused: { 'auth.unknown': 2 } },
    rootVersion: 1,
  }
}
