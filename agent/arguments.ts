/** The agent's command line. */
import { parseArgs } from 'node:util'
import { ok, type Result, refuse } from '../shared/kernel/result.ts'
import { labelsSchema } from '../shared/model/device.ts'
import { idSchema } from '../shared/model/names.ts'
import { HOST_FLAGS, readSharing } from './host-options.ts'
import { loopback } from './loopback.ts'
import { IDLE_UNLOAD_S_MAX, numberOver0 } from './number-option.ts'
import type { HostSharing } from './runtime/host/model-hosts.ts'

export const USAGE = `linnet agent --controller URL --profile NAME [options]
  --controller URL      base URL of the controller
  --token-file FILE     enrolment token; needed on the first start (or LINNET_ENROLMENT_TOKEN, or
                        --token TOKEN, which every user of this machine can see)
  --home DIR            keys, state and models of this device (./.linnet/device)
  --profile NAME        firmware profile, see firmware-profiles/
  --device ID           the id this device would like; else made from its key
  --listen HOST:PORT    local inference API, loopback only (127.0.0.1:8000; port 0 takes any)
  --socket PATH         local inference API on a Unix socket as well
  --grpc HOST:PORT      local inference API over gRPC as well, loopback only
  --idle-unload-s S     models not asked for so long leave the memory until they are asked (never)
  --hosts N | MIN..MAX  model hosts that share the requests; with MIN..MAX as many as the load asks
                        for and the profile's memory allows (1)
  --balance POLICY      round-robin, weighted, least-connections or latency-aware
                        (least-connections)
  --host-weights LIST   2,1: host 0 gets twice as much, where the policy heeds weights
  --label KEY=VALUE     for rollouts to select by; may be repeated
  --ca FILE             certificates to trust beside the system's, PEM (or NODE_EXTRA_CA_CERTS)
  --encrypt-artifacts   models lie encrypted on the disk, under a key file in the home, or under
                        the passphrase in LINNET_ARTIFACT_PASSPHRASE
  --artifact-key-file FILE         the key file elsewhere: another volume, a systemd credential
  --artifact-passphrase-file FILE  the passphrase from a file
  --staging             take releases that are not proven yet; so do devices whose token says so
  --tuning-seconds N    most time to look for faster settings of a release (20; 0: none)
  --json-logs           logs as JSON lines
Examples:
  LINNET_ENROLMENT_TOKEN=… linnet agent --controller http://127.0.0.1:7420 --profile raspberry-pi-5
  linnet agent --controller https://fleet.example:7420 --ca ca.pem --profile intel-n100 \\
    --home /var/lib/linnet --device press-1 --label site=hall-1`

const HELP = 'linnet agent --help'

export interface AgentArguments {
  readonly controller: string
  readonly token: string | undefined
  readonly tokenFile: string | undefined
  readonly home: string
  readonly profile: string
  readonly device: string | undefined
  readonly listen: { readonly host: string; readonly port: number }
  readonly socket: string | null
  readonly grpc: AgentArguments['listen'] | null
  readonly idleUnloadMs: number | null
  /** Null: one host. */
  readonly sharing: HostSharing | null
  readonly labels: Readonly<Record<string, string>>
  /** Whether artifacts are encrypted on the disk; one of the two files says under what. */
  readonly encrypt: boolean
  readonly artifactKeyFile: string | undefined
  readonly artifactPassphraseFile: string | undefined
  readonly staging: boolean
  readonly tuningSeconds: number
  readonly jsonLogs: boolean
}

/** Code `usage`, with what is wrong. */
export function parseArguments(args: readonly string[]): Result<AgentArguments> {
  const parsed = read(args)
  if (typeof parsed === 'string') return usage(parsed)
  const { controller, profile, device, token, home, socket } = parsed
  if (controller === undefined || !/^https?:\/\//.test(controller)) {
    return usage('--controller must be an http or https URL')
  }
  if (profile === undefined) return usage('--profile is missing')
  if (device !== undefined && !idSchema.safeParse(device).success) {
    return usage('--device must be [A-Za-z0-9_-]{1,64}')
  }
  if (!/^\d{1,4}$/.test(parsed['tuning-seconds'])) {
    return usage('--tuning-seconds must be a whole number')
  }
  const pairs = (parsed.label ?? []).map((text) => /^([^=]+)=(.*)$/.exec(text)?.slice(1, 3))
  const labels = labelsSchema.safeParse(Object.fromEntries(pairs.map((pair) => pair ?? ['=', ''])))
  if (!labels.success) return usage('--label must be name=value, with a lower-case name')
  const sharing = readSharing(parsed, HELP)
  if (!sharing.ok) return sharing
  const local = localOf(parsed)
  if (!local.ok) return local
  if (local.value.grpc !== null && sharing.value !== null) return usage('--grpc needs --hosts 1')
  return ok({
    ...local.value,
    sharing: sharing.value,
    ...{ profile, device, token, home, socket: socket ?? null, labels: labels.data },
    tokenFile: parsed['token-file'],
    ...encryptionOf(parsed),
    controller: controller.replace(/\/+$/, ''),
    staging: parsed.staging,
    tuningSeconds: Number(parsed['tuning-seconds']),
    jsonLogs: parsed['json-logs'],
  })
}

/** Whoever reaches the local API may ask it: a Host header, which anybody can write, guards nothing. */
function localOf(
  parsed: Exclude<ReturnType<typeof read>, string>,
): Result<Pick<AgentArguments, 'listen' | 'grpc' | 'idleUnloadMs'>> {
  const { grpc: address } = parsed
  const listen = loopback(parsed.listen)
  if (listen === undefined) return usage('--listen takes a loopback address: 127.0.0.1:8000')
  const grpc = address === undefined ? null : loopback(address)
  if (grpc === undefined) return usage('--grpc takes a loopback address: 127.0.0.1:8001')
  const idleS = numberOver0(parsed['idle-unload-s'], IDLE_UNLOAD_S_MAX)
  if (idleS === undefined) {
    return usage(`--idle-unload-s takes seconds over 0, up to ${IDLE_UNLOAD_S_MAX}`)
  }
  return ok({ listen, grpc, idleUnloadMs: idleS === null ? null : idleS * 1_000 })
}

/** A file that opens artifacts says by itself that they are encrypted. */
function encryptionOf(parsed: Exclude<ReturnType<typeof read>, string>) {
  const artifactKeyFile = parsed['artifact-key-file']
  const artifactPassphraseFile = parsed['artifact-passphrase-file']
  const named = artifactKeyFile ?? artifactPassphraseFile
  const encrypt = parsed['encrypt-artifacts'] || named !== undefined
  return { encrypt, artifactKeyFile, artifactPassphraseFile }
}

function read(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        controller: { type: 'string' },
        token: { type: 'string' },
        'token-file': { type: 'string' },
        home: { type: 'string', default: '.linnet/device' },
        profile: { type: 'string' },
        device: { type: 'string' },
        listen: { type: 'string', default: '127.0.0.1:8000' },
        socket: { type: 'string' },
        grpc: { type: 'string' },
        'idle-unload-s': { type: 'string' },
        ...HOST_FLAGS,
        label: { type: 'string', multiple: true },
        'encrypt-artifacts': { type: 'boolean', default: false },
        'artifact-key-file': { type: 'string' },
        'artifact-passphrase-file': { type: 'string' },
        staging: { type: 'boolean', default: false },
        'tuning-seconds': { type: 'string', default: '20' },
        'json-logs': { type: 'boolean', default: false },
      },
    }).values
  } catch (cause) {
    return cause instanceof Error ? cause.message : String(cause)
  }
}

function usage(message: string): Result<never> {
  return refuse('usage', message, { next: HELP })
}
