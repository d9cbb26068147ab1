/** The command line of `linnet serve`. */
import { parseArgs } from 'node:util'
import { z } from 'zod'
import { ok, type Result, refuse } from '../shared/kernel/result.ts'
import { type InputSpec, inputSpecSchema } from '../shared/model/input-spec.ts'
import { executionProviderSchema, type FirmwareProfile } from '../shared/model/profile.ts'
import { HOST_FLAGS, readSharing } from './host-options.ts'
import { loopback } from './loopback.ts'
import { IDLE_UNLOAD_S_MAX, numberOver0 } from './number-option.ts'
import type { BatchChoice } from './runtime/batch-settings.ts'
import type { HostSharing } from './runtime/host/model-hosts.ts'
import { localProfile } from './runtime/unsigned-release.ts'

const SPEC_EXAMPLE = '{ "x": { "shape": [1, 3], "min": 0 } }'
export const USAGE = `linnet serve FILE.onnx... | DIR [options]
DIR holds NAME/VERSION/model.onnx; versions are whole numbers.
  --listen HOST:PORT           loopback only (127.0.0.1:8000; port 0 takes any)
  --socket PATH                a Unix socket as well
  --grpc HOST:PORT             gRPC (GRPCInferenceService) as well, loopback only
  --model-control none|explicit
                               none: every model at the start, no load and unload afterwards;
                               explicit: only what --load-model names or the repository API loads
  --load-model NAME            with explicit: load it at the start; may be repeated
  --versions latest|all        of each model the newest version, or every one (latest)
  --memory-max MB              for all models together (half of this machine's); the least recently
                               used goes when another needs room, and comes back when it is asked
  --idle-unload-s S            models not asked for so long leave the memory (never)
  --execution-providers LIST   in order of preference (cpu)
  --threads N                  most threads for one run (1)
  --tuning-seconds N           most time to look for faster settings of each model (2; 0: none)
  --batch auto|off             auto: requests that wait run together where qualification proves that
                               it changes no answer and gains time; off: never (auto)
  --hosts N | MIN..MAX         model hosts that share the requests; with MIN..MAX as many as the load
                               asks for and the memory allows; not with --grpc (1)
  --balance POLICY             round-robin, weighted, least-connections or latency-aware
                               (least-connections)
  --host-weights LIST          2,1: host 0 gets twice as much, where the policy heeds weights
  --server-name NAME           what the API calls itself, as Triton's --id (linnet)
  --input-spec JSON            how to make trial inputs: ${SPEC_EXAMPLE}
Examples:
  linnet serve model.onnx
  linnet serve ./models --listen 127.0.0.1:9000 --grpc 127.0.0.1:9001
  linnet serve ./models --model-control explicit --load-model faces
  linnet serve ./models --hosts 1..4 --balance latency-aware`

const HELP = 'linnet serve --help'
/** 16 TiB. */
const MEMORY_MB_MAX = 16_777_216

export interface ServeOptions {
  readonly paths: readonly string[]
  readonly listen: { readonly host: string; readonly port: number }
  readonly grpc: ServeOptions['listen'] | null
  readonly socketPath: string | null
  /** Null: one host. */
  readonly sharing: HostSharing | null
  readonly profile: FirmwareProfile
  readonly spec: InputSpec
  readonly batching: BatchChoice
  readonly control: 'none' | 'explicit'
  readonly loadFirst: readonly string[]
  readonly versions: 'latest' | 'all'
  readonly idleUnloadMs: number | null
  readonly tuningMs: number
  readonly serverName: string
}

/** Code `usage`, with what is wrong. */
export function readOptions(args: readonly string[]): Result<ServeOptions> {
  try {
    return optionsOf(readFlags(args))
  } catch (cause) {
    return usage(cause instanceof Error ? cause.message : String(cause))
  }
}

/** @throws Error in the words of `parseArgs` */
function readFlags(args: readonly string[]) {
  return parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      listen: { type: 'string', default: '127.0.0.1:8000' },
      grpc: { type: 'string' },
      socket: { type: 'string' },
      ...HOST_FLAGS,
      'model-control': { type: 'string', default: 'none' },
      'load-model': { type: 'string', multiple: true },
      versions: { type: 'string', default: 'latest' },
      'memory-max': { type: 'string' },
      'idle-unload-s': { type: 'string' },
      'execution-providers': { type: 'string', default: 'cpu' },
      threads: { type: 'string', default: '1' },
      'tuning-seconds': { type: 'string', default: '2' },
      batch: { type: 'string', default: 'auto' },
      'server-name': { type: 'string', default: 'linnet' },
      'input-spec': { type: 'string', default: '{}' },
    },
  })
}

const controlSchema = z.enum(['none', 'explicit'])
const batchSchema = z.enum(['auto', 'off'])
const versionsSchema = z.enum(['latest', 'all'])

function optionsOf({ values, positionals }: ReturnType<typeof readFlags>): Result<ServeOptions> {
  if (positionals.length === 0) return usage('an ONNX file or a folder is missing')
  const listen = loopback(values.listen)
  const grpc = values.grpc === undefined ? null : loopback(values.grpc)
  if (listen === undefined || grpc === undefined) {
    return usage('--listen and --grpc take loopback addresses only: 127.0.0.1:8000')
  }
  const providers = z
    .array(executionProviderSchema)
    .safeParse(values['execution-providers'].split(','))
  if (!providers.success) {
    return usage(`--execution-providers must be of ${executionProviderSchema.options.join(', ')}`)
  }
  if (!/^[1-9]\d{0,3}$/.test(values.threads))
    return usage('--threads must be a whole number over 0')
  const spec = inputSpecSchema.safeParse(JSON.parse(values['input-spec']))
  if (!spec.success) return usage(`--input-spec must look like ${SPEC_EXAMPLE}`)
  const control = controlSchema.safeParse(values['model-control'])
  if (!control.success) return usage('--model-control must be none or explicit')
  const loadFirst = values['load-model'] ?? []
  if (control.data === 'none' && loadFirst.length > 0) {
    return usage('--load-model needs --model-control explicit')
  }
  const versions = versionsSchema.safeParse(values.versions)
  if (!versions.success) return usage('--versions must be latest or all')
  const batching = batchSchema.safeParse(values.batch)
  if (!batching.success) return usage('--batch must be auto or off')
  const sharing = readSharing(values, HELP)
  if (!sharing.ok) return sharing
  if (sharing.value !== null && grpc !== null) return usage('--grpc needs --hosts 1')
  const memoryMb = numberOver0(values['memory-max'], MEMORY_MB_MAX)
  if (memoryMb === undefined) return usage(`--memory-max takes MB over 0, up to ${MEMORY_MB_MAX}`)
  const idleS = numberOver0(values['idle-unload-s'], IDLE_UNLOAD_S_MAX)
  if (idleS === undefined) {
    return usage(`--idle-unload-s takes seconds over 0, up to ${IDLE_UNLOAD_S_MAX}`)
  }
  const tuningSeconds = values['tuning-seconds']
  if (!/^\d{1,4}$/.test(tuningSeconds)) return usage('--tuning-seconds must be a whole number')
  const serverName = values['server-name']
  if (!/^[\w.-]{1,64}$/.test(serverName)) return usage('--server-name takes [A-Za-z0-9_.-]')
  return ok({
    paths: positionals,
    serverName,
    tuningMs: Number(tuningSeconds) * 1_000,
    idleUnloadMs: idleS === null ? null : idleS * 1000,
    sharing: sharing.value,
    batching: batching.data,
    ...{ listen, grpc, loadFirst },
    ...{ control: control.data, versions: versions.data },
    socketPath: values.socket ?? null,
    profile: localProfile(providers.data, Number(values.threads), memoryMb),
    spec: spec.data,
  })
}

function usage(message: string): Result<never> {
  return refuse('usage', message, { next: HELP })
}
