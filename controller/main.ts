/**
 * The controller program. Composition root: store, keys, broker, controller and HTTP are opened in
 * this order and closed in the other. It may be killed at any point: what was answered is stored.
 */
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Logger } from 'pino'
import { describeProblem, ok, ProblemError, toProblem, unwrap } from '../shared/kernel/result.ts'
import { lockHome } from '../shared/node/home-lock.ts'
import { systemClock } from '../shared/node/system-clock.ts'
import { nodeVerifier } from '../shared/node/verifier-node.ts'
import { type Credentials, createAccessPolicy } from './broker/admission.ts'
import type { Broker } from './broker/broker.ts'
import { type ConsumerAccess, createConsumerAccess } from './broker/consumer-access.ts'
import { createEmbeddedBroker, type EmbeddedBroker } from './broker/embedded-broker.ts'
import { type Config, readConfig, USAGE } from './config.ts'
import { type Controller, createController } from './controller.ts'
import { openLibsqlStore } from './db/libsql-store.ts'
import type { DeviceAccess } from './device-access.ts'
import { readFirmwareProfiles } from './firmware-profiles.ts'
import { LOCAL_TOKEN_NAME, openAccessStore } from './http/access-store.ts'
import { createHttpApp } from './http/app.ts'
import { startHttpServer } from './http/server.ts'
import { createLog } from './log.ts'
import type { Clock } from './ports.ts'
import { openFileBlobs } from './signing/file-blobs.ts'
import { openOnlineKeys } from './signing/online-keys.ts'
import { readTlsIdentity, type TlsIdentity } from './tls.ts'
import { CONTROLLER_VERSION } from './version.ts'

const STOP_MS_MAX = 20_000

const clock: Clock = systemClock

interface Running {
  readonly controller: Controller
  readonly url: string
  readonly mqttUrl: string
  readonly loginUrl: string
  /** Reads certificate and key again. */
  renewTls(): Promise<void>
  stop(): Promise<void>
}

async function run(config: Config, log: Logger): Promise<Running> {
  lockHome(config.home, 'controller')
  const access = await openAccessStore(config.home, clock.nowMs)
  const store = await openLibsqlStore({
    url: config.databaseUrl ?? `file:${join(config.home, 'linnet.db')}`,
    authToken: config.databaseToken ?? undefined,
  })
  const urls = { mqttUrl: '', wsUrl: '' }
  const tls = config.tls === null ? undefined : await readTlsIdentity(config.tls)
  let embedded: EmbeddedBroker | undefined
  const consumers = createConsumerAccess({
    fleet: config.fleet,
    clock,
    admit: access.admit,
    onLogin: ({ name: actor }, clientId) => {
      const entry = { actor, action: 'login', resource: `mqtt/${clientId}`, outcome: 'done' }
      void controller.application.record(entry)
    },
  })
  const controller = await createController({
    fleet: config.fleet,
    version: CONTROLLER_VERSION,
    store,
    blobs: await openFileBlobs(join(config.home, 'artifacts')),
    keys: await openOnlineKeys(config.home),
    verifier: nodeVerifier,
    profiles: await readFirmwareProfiles(),
    clock,
    log,
    urls,
    allowUnsigned: config.allowUnsigned,
    enrolment: config.enrolment,
    reconcile: { windowMs: config.windowSeconds * 1_000 },
    openBroker: async (devices) => {
      if (config.brokerUrl !== null) return connectBroker(config, config.brokerUrl, log)
      embedded = await openEmbeddedBroker({ config, consumers, devices, log, tls })
      return embedded
    },
  })
  const folder = (path: string) => fileURLToPath(new URL(path, import.meta.url))
  const http = createHttpApp({
    application: controller.application,
    access,
    version: CONTROLLER_VERSION,
    hostNames: [...config.hostNames, config.listen],
    consoleFolder: folder('./console/public'),
    demoFolder: folder('../agent/browser/public'),
    nowMs: clock.nowMs,
    onFailure: (problem, cause) => log.error({ problem, err: cause }, 'request failed'),
  })
  const { listen } = config
  const server = await startHttpServer(http.hono, { host: listen, port: config.httpPort }, tls)
  embedded?.attach(server.server, http.isKnownHost)
  const stopWatching = embedded === undefined ? () => {} : consumers.watch(embedded)
  const host = hostOf(config)
  const secure = tls === undefined ? '' : 's'
  const url = `http${secure}://${host}:${server.port}`
  urls.mqttUrl =
    config.brokerUrl ?? `mqtt${secure}://${host}:${embedded?.tcpPort ?? config.mqttPort}`
  urls.wsUrl = `ws${secure}://${host}:${server.port}/mqtt`
  await controller.start()
  return {
    controller,
    url,
    mqttUrl: urls.mqttUrl,
    loginUrl: url + http.loginPath({ name: LOCAL_TOKEN_NAME, role: 'admin' }),
    async renewTls() {
      if (config.tls === null) return
      const renewed = await readTlsIdentity(config.tls)
      server.renew(renewed)
      embedded?.renew(renewed)
    },
    async stop() {
      stopWatching()
      http.close()
      await server.close()
      await controller.stop()
      await store.close()
    },
  }
}

/** The name that devices are told: the first given one, else what is listened on. */
function hostOf({ hostNames, listen }: Config): string {
  const name = hostNames[0] ?? (listen === '0.0.0.0' || listen === '::' ? '127.0.0.1' : listen)
  return name.includes(':') && !name.startsWith('[') ? `[${name}]` : name
}

interface BrokerParts {
  readonly config: Config
  readonly consumers: ConsumerAccess
  readonly devices: DeviceAccess
  readonly log: Logger
  readonly tls: TlsIdentity | undefined
}

async function openEmbeddedBroker(parts: BrokerParts): Promise<EmbeddedBroker> {
  const { config, log, tls } = parts
  const { listen: host, mqttPort: port } = config
  try {
    const tcp = { host, port, ...(tls !== undefined && { tls }) }
    const policy = createAccessPolicy(async (credentials) => identify(parts, credentials))
    return await createEmbeddedBroker({ access: policy, tcp, log })
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw cause
    const problem = {
      code: 'mqtt.port_in_use',
      message: `Port ${port} is in use: another controller may be running.`,
      expected: `a free port on ${host}`,
      next: `linnet controller --mqtt-port ${port + 10}`,
    }
    throw new ProblemError(problem, { cause })
  }
}

/** A telemetry consumer's password is a bearer token, a device's a token of its own making. */
function identify({ consumers, devices }: BrokerParts, credentials: Credentials) {
  const consumer = consumers.identify(credentials.password)
  return consumer === undefined ? devices(credentials, clock.nowMs()) : ok(consumer)
}

/** An MQTT client is a fifth of the controller's start: loaded only where one is needed. */
async function connectBroker(config: Config, url: string, log: Logger): Promise<Broker> {
  const { connectExternalBroker } = await import('./broker/external-broker.ts')
  const { fleet, brokerUsername: username, brokerPassword: password } = config
  return connectExternalBroker({ url, clientId: `linnet-${fleet}`, username, password, log })
}

async function main(): Promise<void> {
  const args = process.argv.slice(2)
  if (args.includes('--help')) {
    process.stdout.write(`${USAGE}\n`)
    return
  }
  // Tokens, digests and the audit trail are nobody else's: not the database's files either.
  process.umask(0o077)
  const config = unwrap(readConfig(args, process.env))
  const readable = process.stderr.isTTY === true && !config.jsonLogs
  const log = createLog({ level: config.logLevel, readable })
  const running = await run(config, log)
  stopOnSignals(running, log)
  renewOnHangup(running, log)
  log.info({ url: running.url, mqtt: running.mqttUrl, home: config.home }, 'ready')
  process.stdout.write(`linnet controller ready: ${running.url}, ${running.mqttUrl}\n`)
  process.stdout.write(`console, once: ${running.loginUrl}\n`)
}

function renewOnHangup(running: Running, log: Logger): void {
  process.on('SIGHUP', () => {
    running.renewTls().then(
      () => log.info('certificate read again'),
      (cause: unknown) => log.error({ problem: toProblem(cause, 'config.tls_files') }, 'kept'),
    )
  })
}

function stopOnSignals(running: Running, log: Logger): void {
  let stopping = false
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => {
      if (stopping) return
      stopping = true
      log.info({ signal }, 'stopping')
      setTimeout(() => process.exit(1), STOP_MS_MAX).unref()
      running.stop().then(
        () => process.exit(0),
        (cause: unknown) => {
          log.error({ err: cause }, 'could not stop cleanly')
          process.exit(1)
        },
      )
    })
  }
}

main().catch((cause: unknown) => {
  process.stderr.write(
    `linnet controller: ${describeProblem(toProblem(cause, 'controller.failed'))}\n`,
  )
  process.exit(cause instanceof ProblemError && cause.problem.code === 'config.usage' ? 1 : 2)
})
