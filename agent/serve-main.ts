#!/usr/bin/env node
/**
 * `linnet serve FILE.onnx... | DIR`: the data plane alone, for development and for trying a model. The
 * same qualification, host, API and metrics as on a device; no controller, no signatures, which it
 * says, and therefore loopback only. Composition root of its process.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { z } from 'zod'
import {
  describeProblem,
  ok,
  type Result,
  refuse,
  toProblem,
  unwrap,
} from '../shared/kernel/result.ts'
import { type InputSpec, inputSpecSchema } from '../shared/model/input-spec.ts'
import { executionProviderSchema, type FirmwareProfile } from '../shared/model/profile.ts'
import type { ServedModel } from './ports.ts'
import { createNodeRuntime, type NodeRuntime } from './runtime/node-runtime.ts'
import { localProfile, unsignedRelease } from './runtime/unsigned-release.ts'
import { findModels, type ModelFile } from './serve/model-folder.ts'

const SPEC_EXAMPLE = '{ "x": { "shape": [1, 3], "min": 0 } }'
const USAGE = `linnet serve FILE.onnx... | DIR [options]
  --listen HOST:PORT           loopback only (127.0.0.1:8000; port 0 takes any)
  --socket PATH                a Unix socket as well
  --grpc HOST:PORT             gRPC (GRPCInferenceService) as well, loopback only
  --execution-providers LIST   in order of preference (cpu)
  --threads N                  most threads for one run (1)
  --input-spec JSON            how to make trial inputs: ${SPEC_EXAMPLE}
Examples:
  linnet serve model.onnx
  linnet serve ./models --listen 127.0.0.1:9000 --grpc 127.0.0.1:9001`

interface Options {
  readonly paths: readonly string[]
  readonly listen: { readonly host: string; readonly port: number }
  readonly grpc: Options['listen'] | null
  readonly socketPath: string | null
  readonly profile: FirmwareProfile
  readonly spec: InputSpec
}

const say = (text: string): void => void process.stderr.write(`${text}\n`)

async function main(): Promise<void> {
  if (process.argv.includes('--help')) {
    process.stdout.write(`${USAGE}\n`)
    return
  }
  const options = unwrap(readOptions(process.argv.slice(2)))
  const models = unwrap(await findModels(options.paths))
  const folder = await mkdtemp(join(tmpdir(), 'linnet-serve-'))
  const files = new Map<string, string>()
  say('Unsigned models, for development: nothing here was verified. Loopback only.')
  const { listen, grpc, socketPath, profile } = options
  const runtime = createNodeRuntime({
    ...{ device: 'local', boot: 'serve', profile, directory: folder, listen, grpc, socketPath },
    artifactPath: (sha256) => files.get(sha256),
  })
  stopOnSignals(runtime, folder)
  const address = unwrap(await runtime.address())
  const served: ServedModel[] = []
  for (const model of models) {
    const found = await bring(model, options, runtime, files, folder)
    if (found !== undefined) served.push(found)
  }
  if (served.length === 0) throw new Error('no model could be served')
  const outcome = await runtime.serve({ generation: 1, windowMs: 60_000, models: served })
  if (!outcome.served) for (const { problem } of outcome.broken) say(describeProblem(problem))
  if (address.grpcPort !== null) say(`gRPC on ${grpc?.host}:${address.grpcPort}`)
  for (const { model } of served) {
    process.stdout.write(`http://${listen.host}:${address.port}/v2/models/${model}\n`)
  }
}

/** Describes, proves and prepares one model; says why it cannot be served. */
async function bring(
  file: ModelFile,
  { spec }: Options,
  runtime: NodeRuntime,
  files: Map<string, string>,
  folder: string,
): Promise<ServedModel | undefined> {
  const release = await unsignedRelease(file, { spec, folder, files })
  if (!release.ok) return void say(`${file.model}: ${describeProblem(release.error)}`)
  const proof = await runtime.qualify(release.value, new AbortController().signal)
  if (!proof.ok) return void say(`${file.model}: ${describeProblem(proof.error)}`)
  const { chosen, loadMs, steadyMsP50, attempts } = proof.value
  for (const { provider, outcome, reason } of attempts) {
    if (outcome !== 'chosen') say(`${file.model}: ${provider} ${outcome}: ${reason}`)
  }
  const times = `loads in ${loadMs.toFixed(0)} ms, runs in ${steadyMsP50.toFixed(2)} ms`
  say(`${file.model}: ${chosen}, ${times}`)
  return {
    ...{ model: file.model, candidate: null, previous: null, rollout: null },
    ...{ trafficShare: 0, shadow: 0 },
    current: { resolved: release.value, provider: chosen, modelPath: resolve(file.path) },
  }
}

/** Code `usage`, with what is wrong. */
function readOptions(args: readonly string[]): Result<Options> {
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
      'execution-providers': { type: 'string', default: 'cpu' },
      threads: { type: 'string', default: '1' },
      'input-spec': { type: 'string', default: '{}' },
    },
  })
}

function optionsOf({ values, positionals }: ReturnType<typeof readFlags>): Result<Options> {
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
  const spec = inputSpecSchema.safeParse(JSON.parse(values['input-spec']))
  if (!spec.success) return usage(`--input-spec must look like ${SPEC_EXAMPLE}`)
  return ok({
    paths: positionals,
    ...{ listen, grpc },
    socketPath: values.socket ?? null,
    profile: localProfile(providers.data, Number(values.threads)),
    spec: spec.data,
  })
}

function usage(message: string): Result<never> {
  return refuse('usage', message, { next: 'linnet serve --help' })
}

/** @returns undefined for what is no address of this machine. */
function loopback(address: string): Options['listen'] | undefined {
  const parts = /^(127\.\d+\.\d+\.\d+|localhost|\[::1\]):(\d{1,5})$/.exec(address)
  if (parts === null) return undefined
  return { host: parts[1]!.replace(/^\[|\]$/g, ''), port: Number(parts[2]) }
}

function stopOnSignals(runtime: NodeRuntime, folder: string): void {
  const stop = async (): Promise<void> => {
    await runtime.close()
    await rm(folder, { recursive: true, force: true })
    process.exit(0)
  }
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void stop())
}

main().catch((cause: unknown) => {
  const problem = toProblem(cause, 'serve.failed')
  say(`linnet serve: ${describeProblem(problem)}`)
  process.exit(problem.code === 'usage' ? 1 : 2)
})
