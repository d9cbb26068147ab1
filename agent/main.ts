/**
 * The agent of a Node device. Composition root: reads the command line, makes key and membership on
 * the first start, and connects the core to the disk, the broker, the repository and the model host.
 * It may be killed at any point; the next start goes on from what the disk says.
 */
import { randomBytes } from 'node:crypto'
import { createRequire } from 'node:module'
import { arch, cpus, platform, totalmem } from 'node:os'
import { resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describeProblem, ProblemError, unwrap } from '../shared/kernel/result.ts'
import type { DeviceFacts } from '../shared/model/device.ts'
import type { Identity } from '../shared/model/identity.ts'
import type { FirmwareProfile } from '../shared/model/profile.ts'
import { openMode } from '../shared/node/home-access.ts'
import { lockHome, requireUnlocked } from '../shared/node/home-lock.ts'
import { fetchBounded } from '../shared/node/http-download.ts'
import { systemClock } from '../shared/node/system-clock.ts'
import { createTufFiles } from '../shared/node/tuf-files.ts'
import { nodeVerifier } from '../shared/node/verifier-node.ts'
import { keyId, type SyncSigner } from '../shared/signing/keys.ts'
import { backoffMs } from '../shared/update/job.ts'
import { type Agent, startAgent } from './agent.ts'
import { type AgentArguments, parseArguments, USAGE } from './arguments.ts'
import { openArtifactKey } from './artifact/artifact-key.ts'
import { createArtifactStore } from './artifact/artifact-store.ts'
import { dropPlainModels, sealStore } from './artifact/seal-store.ts'
import { sealedFiles } from './artifact/sealed-files.ts'
import { TufRepository } from './artifact/tuf-repository.ts'
import { askAssignment, fetchTime } from './ask-controller.ts'
import { diskProblem } from './disk-watch.ts'
import { deviceSigner, enrol, type HomePaths, homePaths, loadIdentity } from './enrol.ts'
import { loadProfile } from './firmware-profile.ts'
import { createFleetClock } from './fleet-clock.ts'
import { createLocalControl } from './local-control.ts'
import { createLog } from './log.ts'
import { askForMembership } from './membership.ts'
import type { Log } from './ports.ts'
import { createNodeRuntime } from './runtime/node-runtime.ts'
import { sweepScratch } from './runtime/qualify/optimised-file.ts'
import { artifactSecret, enrolmentToken } from './secrets.ts'
import { createFileSpoolStore } from './store/file-spool-store.ts'
import { createFileStateStore } from './store/file-state-store.ts'
import { createSmallFiles } from './store/small-files.ts'
import { createMqttTransport } from './transport/mqtt-transport.ts'
import { AGENT_VERSION } from './version.ts'

const RETRIEVAL = { deadlineMs: 60_000, bytesPerSecondMin: 1_024, windowMs: 10_000 }
/** The front has its time to end, and then the model hosts have theirs; see watched-child.ts. */
const STOP_MS_MAX = 15_000
const MIB = 1024 * 1024

const randomId = (): string => randomBytes(12).toString('base64url')

async function main(): Promise<void> {
  if (process.argv.includes('--help')) {
    process.stdout.write(`${USAGE}\n`)
    return
  }
  // What a home holds is read by its own user alone.
  process.umask(0o077)
  const options = unwrap(parseArguments(process.argv.slice(2)))
  const profile = unwrap(await loadProfile(options.profile))
  const log = createLog(options.jsonLogs, { program: 'agent', home: options.home })
  holdHome(resolve(options.home), log)
  const paths = homePaths(resolve(options.home))
  warnOfOpenHome(resolve(options.home), log)
  const signer = await deviceSigner(paths)
  const known = await loadIdentity(paths)
  const token = await enrolmentToken(options, process.env)
  const artifactKey = await unlockArtifacts(options, log)
  const identity = known ?? (await join(paths, signer, options, token, log))
  const parts = { options, profile, paths, log, signer, identity, artifactKey }
  const { agent, url } = await compose(parts)
  stopOnSignals(agent, log)
  if (known !== undefined && token !== undefined) {
    void tellFacts(signer, identity, options, token, log)
  }
  const { fleet, device } = identity
  process.stdout.write(`linnet agent ready: device ${device} of fleet ${fleet}, ${url}\n`)
}

/**
 * A system mounts a disk that fails read-only: what the device has on it, it serves all the same, and
 * then without a lock of its own.
 */
function holdHome(home: string, log: Log): void {
  try {
    lockHome(home, 'agent')
  } catch (cause) {
    const problem = diskProblem(cause)
    if (problem?.code !== 'disk.read_only') throw cause
    requireUnlocked(home, 'agent')
    const { code, message, found, next } = problem
    log.warn(message, { code, found, next })
  }
}

/** One that was there before is left as it is: it may be shared on purpose. */
function warnOfOpenHome(home: string, log: Log): void {
  const mode = openMode(home)
  if (mode === undefined) return
  log.warn('others may look into the home', { home, mode, next: `chmod 700 ${home}` })
}

/**
 * The key of this device's artifacts, undefined where they are not encrypted; what lies there in
 * plain is sealed before anything reads it.
 */
async function unlockArtifacts(options: AgentArguments, log: Log): Promise<Uint8Array | undefined> {
  const home = resolve(options.home)
  const secret = await artifactSecret(options, home, process.env)
  const key = await openArtifactKey(resolve(home, 'artifact-key.json'), secret, (path) =>
    log.info('a new artifact key file was made', { path }),
  )
  if (key === undefined) return undefined
  await sweepScratch()
  const sealed = await sealStore(resolve(home, 'artifacts'), key)
  await dropPlainModels(resolve(home, 'runtime'))
  if (sealed > 0) log.info('artifacts that lay in plain are encrypted now', { artifacts: sealed })
  return key
}

/** Asks until the controller answers; what it refuses ends the program. */
async function join(
  paths: HomePaths,
  signer: SyncSigner,
  options: AgentArguments,
  token: string | undefined,
  log: Log,
): Promise<Identity> {
  if (token === undefined) {
    throw new ProblemError({
      code: 'enrolment.needed',
      message: 'This device is not a member of a fleet yet.',
      next: 'linnet device token, then LINNET_ENROLMENT_TOKEN=… linnet agent',
    })
  }
  const { controller, device } = options
  for (let attempt = 1; ; attempt++) {
    const staging = options.staging || undefined
    const request = { controller, token, device, facts: facts(options), staging }
    const joined = await enrol(paths, signer, request)
    if (joined.ok) return joined.value
    if (!joined.error.code.startsWith('net.')) throw new ProblemError(joined.error)
    log.warn('the controller cannot be reached', { code: joined.error.code, attempt })
    await sleep(Math.min(10_000, backoffMs(attempt)) * (0.5 + Math.random() / 2))
  }
}

/** A member that is given a token says its facts anew; what it serves does not wait for that. */
async function tellFacts(
  signer: SyncSigner,
  { device, staging }: Identity,
  options: AgentArguments,
  token: string,
  log: Log,
): Promise<void> {
  const nonce = randomBytes(16).toString('hex')
  const request = {
    ...{ controller: options.controller, token, device, nonce, facts: facts(options) },
    staging: staging === true || options.staging,
  }
  const told = await askForMembership(signer, request)
  if (!told.ok) log.warn('the controller did not take the facts', { code: told.error.code })
}

function facts({ profile, labels }: AgentArguments): DeviceFacts {
  const runtime = createRequire(import.meta.url)('onnxruntime-node/package.json') as {
    version: string
  }
  return {
    profile,
    labels,
    agentVersion: AGENT_VERSION,
    runtimeVersion: runtime.version,
    platform: `${platform()}/${arch()}`,
    cores: Math.max(1, cpus().length),
    memoryMb: Math.floor(totalmem() / MIB),
  }
}

interface Parts {
  readonly options: AgentArguments
  readonly profile: FirmwareProfile
  readonly paths: HomePaths
  readonly log: Log
  readonly signer: SyncSigner
  readonly identity: Identity
  readonly artifactKey: Uint8Array | undefined
}

async function compose(parts: Parts): Promise<{ agent: Agent; url: string }> {
  const { options, profile, log, signer, identity, artifactKey } = parts
  const home = resolve(options.home)
  const { fleet, device } = identity
  const boot = randomId()
  const repository = createRepository(parts)
  const { clock, askTime } = createFleetClock(systemClock, repository, log)
  const artifacts = createArtifactStore({
    folder: resolve(home, 'artifacts'),
    bytesMax: profile.limits.diskMb * MIB,
    retrieval: RETRIEVAL,
    ...(artifactKey && { files: sealedFiles(artifactKey) }),
  })
  const control = createLocalControl(resolve(home, 'local-api.token'))
  const runtime = createNodeRuntime({
    ...{ device, boot, profile, listen: options.listen, socketPath: options.socket },
    ...{ grpc: options.grpc, repository: control },
    ...(options.idleUnloadMs === null ? {} : { idleUnloadMs: options.idleUnloadMs }),
    onDrawing: (drawing) => log.info('requests are drawn', { ...drawing }),
    onResidence: ({ change, ...facts }) => log.info(`a model was ${change}`, facts),
    directory: resolve(home, 'runtime'),
    artifactPath: artifacts.path,
    ...{ artifactKey, signer, sharing: options.sharing },
    limits: { tuningMs: options.tuningSeconds * 1_000 },
  })
  let agent: Agent | undefined
  const transport = createMqttTransport({
    ...{ url: identity.mqttUrl, fleet, device, signer, clock, log, random: Math.random, randomId },
    ...{ askTime, cohort: () => agent?.state().durable.desired?.cohort ?? null },
  })
  agent = await startAgent(
    {
      ...{ clock, log, signer, repository, artifacts, transport, random: Math.random },
      runtime: control.over(runtime),
      trust: repository,
      askAssignment: () =>
        askAssignment(options.controller, {
          ...{ fleet, device, signer, randomId, nowMs: clock.nowMs, askTime },
        }),
      states: createFileStateStore(resolve(home, 'state.json'), log),
      spoolStore: createFileSpoolStore(resolve(home, 'spool.log')),
    },
    { fleet, device, boot },
  )
  const address = unwrap(await runtime.address())
  // Ready means: what this device had before, it serves again.
  await agent.idle()
  const http = address.port === null ? 'no HTTP' : `http://${options.listen.host}:${address.port}`
  const url = address.grpcPort === null ? http : `${http}, gRPC on port ${address.grpcPort}`
  return { agent, url }
}

function createRepository({ options, profile, paths, signer, identity }: Parts): TufRepository {
  const { controller } = options
  const staging = options.staging || identity.staging === true
  const targetsUrl = `${controller}/tuf/targets`
  return new TufRepository({
    tuf: createTufFiles(paths.metadata, `${controller}/tuf/metadata`, nodeVerifier),
    fetchTarget: (path, bytesMax) =>
      fetchBounded(`${targetsUrl}/${path}`, { ...RETRIEVAL, bytesMax }),
    targetsUrl,
    cache: createSmallFiles(resolve(options.home, 'releases')),
    ...{ fleet: identity.fleet, device: identity.device, deviceKey: keyId(signer.key) },
    ...{ profile, staging, clock: systemClock },
    time: {
      nonce: () => randomBytes(16).toString('hex'),
      ask: (nonce) => fetchTime(controller, identity.device, nonce),
    },
  })
}

function stopOnSignals(agent: Agent, log: Log): void {
  let stopping = false
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => {
      if (stopping) process.exit(1)
      stopping = true
      log.info('stopping', { signal })
      setTimeout(() => process.exit(1), STOP_MS_MAX).unref()
      agent.stop().then(
        () => process.exit(0),
        () => process.exit(1),
      )
    })
  }
}

main().catch((cause: unknown) => {
  const problem = cause instanceof ProblemError ? cause.problem : diskProblem(cause)
  const text = problem === undefined ? String(cause) : describeProblem(problem)
  process.stderr.write(`linnet agent: ${text}\n`)
  process.exit(problem?.code === 'usage' ? 1 : 2)
})
