/**
 * What the controller is told at its start: flags, then environment, then defaults. Invariant:
 * without TLS files it listens on loopback only, unless `--insecure-listen` says otherwise.
 */
import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { z } from 'zod'
import { ok, type Result, refuse } from '../shared/kernel/result.ts'
import { idSchema } from '../shared/model/names.ts'

export const USAGE = `linnet controller [options]
  --home DIR            everything it keeps (LINNET_HOME, ./.linnet)
  --fleet NAME          the fleet of a new database (LINNET_FLEET, main)
  --http-port PORT      console, API, artifacts, MQTT over WebSocket (LINNET_HTTP_PORT, 7420)
  --mqtt-port PORT      MQTT over TCP (LINNET_MQTT_PORT, 7421)
  --listen HOST         address to listen on (127.0.0.1)
  --tls-cert FILE       certificate chain, PEM: HTTPS, MQTTS and WSS; SIGHUP reads it again
  --tls-key FILE        its private key, PEM
  --insecure-listen     allow an address that is not loopback, without TLS
  --host-name NAME      a further name under which it is reached; may be repeated
  --window-seconds N    length of a telemetry window (60)
  --database-url URL    libsql server instead of a file (DATABASE_URL, DATABASE_TOKEN)
  --broker-url URL      an MQTT broker elsewhere instead of the embedded one (LINNET_BROKER_URL);
                        user and password: LINNET_BROKER_USERNAME, LINNET_BROKER_PASSWORD. That
                        broker must check who connects and what each device may read and write
                        (the embedded one does), and ends no connection of a revoked device
  --enrolment HOW       token, or approve: devices wait for an operator as well (token)
  --allow-unsigned      take unsigned messages of devices: development only
  --log-level LEVEL     debug, info, warn or error (info)
  --json-logs           logs as JSON lines, even on a terminal

Examples:
  linnet controller
  linnet controller --listen 0.0.0.0 --host-name plant.example \\
    --tls-cert chain.pem --tls-key key.pem`

const portSchema = z.coerce.number().int().min(0).max(65_535)

const configSchema = z.strictObject({
  home: z.string().min(1),
  fleet: idSchema,
  httpPort: portSchema,
  mqttPort: portSchema,
  listen: z.string().regex(/^[A-Za-z0-9.:-]{1,255}$/),
  insecureListen: z.boolean(),
  tls: z.strictObject({ cert: z.string().min(1), key: z.string().min(1) }).nullable(),
  hostNames: z.array(z.string().regex(/^[A-Za-z0-9.[\]:-]{1,255}$/)).max(32),
  windowSeconds: z.coerce.number().int().min(1).max(86_400),
  databaseUrl: z.string().nullable(),
  databaseToken: z.string().nullable(),
  /** Devices are told this address and logs show it, so it holds no secret. */
  brokerUrl: z
    .string()
    .regex(/^(mqtt|ws)s?:\/\/[^@]+$/, 'mqtt(s):// or ws(s):// without user and password')
    .nullable(),
  brokerUsername: z.string().optional(),
  brokerPassword: z.string().optional(),
  enrolment: z.enum(['token', 'approve']),
  allowUnsigned: z.boolean(),
  logLevel: z.enum(['debug', 'info', 'warn', 'error']),
  jsonLogs: z.boolean(),
})
export type Config = z.infer<typeof configSchema>

type Environment = Readonly<Record<string, string | undefined>>

/** Errors: `config.usage`, `config.insecure_listen`. */
export function readConfig(args: readonly string[], env: Environment): Result<Config> {
  const flags = readFlags(args)
  if (typeof flags === 'string') return usage(flags)
  const tls = [flags['tls-cert'], flags['tls-key']].filter((file) => file !== undefined)
  if (tls.length === 1) return usage('--tls-cert and --tls-key belong together')
  const parsed = configSchema.safeParse({
    home: resolve(flags.home ?? env.LINNET_HOME ?? '.linnet'),
    fleet: flags.fleet ?? env.LINNET_FLEET ?? 'main',
    httpPort: flags['http-port'] ?? env.LINNET_HTTP_PORT ?? 7420,
    mqttPort: flags['mqtt-port'] ?? env.LINNET_MQTT_PORT ?? 7421,
    listen: flags.listen,
    insecureListen: flags['insecure-listen'],
    tls: tls.length === 0 ? null : { cert: flags['tls-cert'], key: flags['tls-key'] },
    hostNames: flags['host-name'],
    windowSeconds: flags['window-seconds'],
    databaseUrl: flags['database-url'] ?? env.DATABASE_URL ?? null,
    databaseToken: env.DATABASE_TOKEN ?? null,
    brokerUrl: flags['broker-url'] ?? env.LINNET_BROKER_URL ?? null,
    brokerUsername: env.LINNET_BROKER_USERNAME,
    brokerPassword: env.LINNET_BROKER_PASSWORD,
    enrolment: flags.enrolment,
    allowUnsigned: flags['allow-unsigned'],
    logLevel: flags['log-level'],
    jsonLogs: flags['json-logs'],
  })
  if (!parsed.success) return usage(z.prettifyError(parsed.error))
  const config = parsed.data
  const isSafe = isLoopback(config.listen) || config.tls !== null
  if (isSafe || config.insecureListen) return ok(config)
  return refuse(
    'config.insecure_listen',
    'This address is not loopback, and nothing is encrypted.',
    {
      expected: '127.0.0.1, ::1 or localhost',
      found: config.listen,
      next: 'give --tls-cert and --tls-key; or --insecure-listen, on a network you trust',
    },
  )
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127\.\d+\.\d+\.\d+$/.test(host)
}

function readFlags(args: readonly string[]) {
  const text = { type: 'string' } as const
  const flag = { type: 'boolean', default: false } as const
  try {
    return parseArgs({
      args: [...args],
      options: {
        home: text,
        fleet: text,
        'http-port': text,
        'mqtt-port': text,
        listen: { ...text, default: '127.0.0.1' },
        'insecure-listen': flag,
        'tls-cert': text,
        'tls-key': text,
        'host-name': { ...text, multiple: true, default: [] },
        'window-seconds': { ...text, default: '60' },
        'database-url': text,
        'broker-url': text,
        enrolment: { ...text, default: 'token' },
        'allow-unsigned': flag,
        'log-level': { ...text, default: 'info' },
        'json-logs': flag,
      },
    }).values
  } catch (cause) {
    return cause instanceof Error ? cause.message : String(cause)
  }
}

function usage(found: string): Result<never> {
  return refuse('config.usage', 'The controller cannot be started like this.', {
    found,
    next: 'linnet controller --help',
  })
}
