/**
 * The agent of a browser device: the same core as on Node, on this browser's storage, keys, workers
 * and WebSocket. Composition root of the page's side.
 */
import { toHex } from '../../shared/kernel/bytes.ts'
import { ok, type Result } from '../../shared/kernel/result.ts'
import { sha256Hex } from '../../shared/kernel/sha256.ts'
import { type Identity, identitySchema } from '../../shared/model/identity.ts'
import type { Artifact } from '../../shared/model/manifest.ts'
import { fetchBounded } from '../../shared/node/http-download.ts'
import { systemClock } from '../../shared/node/system-clock.ts'
import { keyId } from '../../shared/signing/keys.ts'
import { type Agent, startAgent } from '../agent.ts'
import { TufRepository } from '../artifact/tuf-repository.ts'
import { askAssignment, fetchTime } from '../ask-controller.ts'
import { createFleetClock } from '../fleet-clock.ts'
import { askForMembership } from '../membership.ts'
import type { Log } from '../ports.ts'
import type { QualifyOptions } from '../runtime/qualify/qualify-release.ts'
import { createMqttTransport } from '../transport/mqtt-transport.ts'
import type { Records } from './records.ts'
import { createWebArtifactStore } from './web-artifact-store.ts'
import type { WebDevice } from './web-device.ts'
import { createWebRuntime, type WebRuntime } from './web-runtime.ts'
import { createWebSmallFiles, createWebSpoolStore, createWebStateStore } from './web-stores.ts'
import { createWebTuf } from './web-tuf.ts'

/** For a page that shows what happens. */
export interface BrowserWatch {
  /** A role of the release metadata became trusted. */
  onTrusted(role: string, bytes: Uint8Array): void
  onProgress(artifact: Artifact, receivedBytes: number): void
  readonly onAttempt: NonNullable<QualifyOptions['onAttempt']>
  onConnection(connected: boolean): void
}

export interface BrowserAgentOptions {
  readonly device: WebDevice
  /** Base URL of the controller, without a slash at its end. */
  readonly controller: string
  /** runtime-worker-main.js. */
  readonly script: URL
  readonly log: Log
  readonly watch: BrowserWatch
}

export interface BrowserAgent {
  readonly agent: Agent
  readonly runtime: WebRuntime
}

const RETRIEVAL = { deadlineMs: 60_000, bytesPerSecondMin: 1_024, windowMs: 10_000 }
const MIB = 1024 * 1024

const randomId = (): string => toHex(crypto.getRandomValues(new Uint8Array(12)))

/** @returns undefined when this browser never enrolled. */
export async function loadMembership({ records }: WebDevice): Promise<Identity | undefined> {
  return identitySchema.safeParse(await records.get('device', 'identity')).data
}

/**
 * Joining again gives the same device; under another root of trust it begins anew, since nothing that
 * the old root vouched for counts there. Errors: those of `askForMembership`.
 */
export async function joinFleet(
  { records, key, facts }: WebDevice,
  controller: string,
  token: string,
): Promise<Result<Identity>> {
  const nonce = toHex(crypto.getRandomValues(new Uint8Array(16)))
  const joined = await askForMembership(key.signer, { controller, token, facts, nonce })
  if (!joined.ok) return joined
  const { identity, root } = joined.value
  const rootSha256 = sha256Hex(root)
  if ((await records.get('device', 'rootSha256')) !== rootSha256) {
    await forgetFleet(records)
    await records.put('metadata', 'root', root.slice())
    await records.put('device', 'rootSha256', rootSha256)
  }
  await records.put('device', 'identity', identity)
  return ok(identity)
}

/** Everything but key, profile and stored files, which are named by content and collected later. */
async function forgetFleet(records: Records): Promise<void> {
  for (const key of ['state', 'state.previous', 'identity']) await records.remove('device', key)
  for (const store of ['metadata', 'releases', 'settings', 'spool'] as const) {
    await records.replace(store, [])
  }
}

export async function startBrowserAgent(
  options: BrowserAgentOptions,
  identity: Identity,
): Promise<BrowserAgent> {
  const { device, controller, log, watch } = options
  const { records, files, profile, engine, gpuMissing, surroundings } = device
  const { signer } = device.key
  const { fleet } = identity
  const boot = randomId()
  const artifacts = createWebArtifactStore({
    ...{ files, bytesMax: profile.limits.diskMb * MIB, retrieval: RETRIEVAL },
    onProgress: watch.onProgress,
  })
  const runtime = createWebRuntime({
    ...{ device: identity.device, boot, profile, engine, gpuMissing, script: options.script },
    readArtifact: artifacts.read,
    ...{ proofs: createWebSmallFiles(records, 'settings'), signer, surroundings },
    onAttempt: watch.onAttempt,
  })
  const repository = createRepository(options, identity)
  const { clock, askTime } = createFleetClock(systemClock, repository, log)
  const membership = { fleet, device: identity.device }
  let agent: Agent | undefined
  const transport = createMqttTransport({
    ...{ url: socketUrl(controller, identity), ...membership, signer, clock, log, randomId },
    ...{ random: Math.random, askTime },
    cohort: () => agent?.state().durable.desired?.cohort ?? null,
  })
  const watched = {
    open: transport.open.bind(transport),
    close: () => transport.close(),
    publish: transport.publish.bind(transport),
    onMessage: transport.onMessage.bind(transport),
    onConnection(handler: (connected: boolean) => void): void {
      transport.onConnection((connected) => {
        watch.onConnection(connected)
        handler(connected)
      })
    },
  }
  agent = await startAgent(
    {
      ...{ clock, log, signer, repository, artifacts, runtime, transport: watched },
      ...{ random: Math.random, trust: repository },
      askAssignment: () =>
        askAssignment(controller, {
          ...{ ...membership, signer, randomId, nowMs: clock.nowMs, askTime },
        }),
      states: createWebStateStore(records, log),
      spoolStore: createWebSpoolStore(records),
    },
    { ...membership, boot },
  )
  return { agent, runtime }
}

function createRepository(
  { device, controller, watch }: BrowserAgentOptions,
  identity: Identity,
): TufRepository {
  const targetsUrl = `${controller}/tuf/targets`
  return new TufRepository({
    tuf: createWebTuf(device.records, `${controller}/tuf/metadata`, watch.onTrusted),
    fetchTarget: (path, bytesMax) =>
      fetchBounded(`${targetsUrl}/${path}`, { ...RETRIEVAL, bytesMax }),
    targetsUrl,
    cache: createWebSmallFiles(device.records, 'releases'),
    ...{ fleet: identity.fleet, device: identity.device, profile: device.profile },
    deviceKey: keyId(device.key.signer.key),
    ...{ staging: identity.staging === true, clock: systemClock },
    time: {
      nonce: () => toHex(crypto.getRandomValues(new Uint8Array(16))),
      ask: (nonce) => fetchTime(controller, identity.device, nonce),
    },
  })
}

/** The page may be open under another name than the controller gives itself; it may call only that. */
function socketUrl(controller: string, { wsUrl }: Identity): string {
  const url = new URL(new URL(wsUrl).pathname, controller)
  url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:'
  return url.href
}
