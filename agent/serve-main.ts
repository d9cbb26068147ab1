#!/usr/bin/env node
/**
 * `linnet serve FILE.onnx... | DIR`: the data plane alone, for development and for trying a model. The
 * same qualification, host, API and metrics as on a device; no controller, no signatures, which it
 * says, and therefore loopback only. Composition root of its process.
 */
import { rm } from 'node:fs/promises'
import { describeProblem, toProblem, unwrap } from '../shared/kernel/result.ts'
import { createNodeRuntime, type NodeRuntime } from './runtime/node-runtime.ts'
import { readOptions, type ServeOptions, USAGE } from './serve-options.ts'
import { createServeRepository, type ServeRepository } from './serve-repository.ts'
import { makeTemporaryFolder, temporaryProblem } from './temporary-folder.ts'

const say = (text: string): void => void process.stderr.write(`${text}\n`)

async function main(): Promise<void> {
  if (process.argv.includes('--help')) {
    process.stdout.write(`${USAGE}\n`)
    return
  }
  const options = unwrap(readOptions(process.argv.slice(2)))
  const folder = await makeTemporaryFolder('linnet-serve-')
  const files = new Map<string, string>()
  say('Unsigned models, for development: nothing here was verified. Loopback only.')
  const { listen, grpc, socketPath, profile, idleUnloadMs, batching, sharing } = options
  const runtime = createNodeRuntime({
    ...{ device: 'local', boot: 'serve', profile, directory: folder, listen, grpc, socketPath },
    artifactPath: (sha256) => files.get(sha256),
    anyMayFollow: true,
    serverName: options.serverName,
    ...{ batching, sharing, limits: { tuningMs: options.tuningMs } },
    ...(idleUnloadMs === null ? {} : { idleUnloadMs }),
    onResidence: ({ model, version, change, reason }) =>
      say(`${model}@${version}: ${change}: ${reason}`),
    repository: { change: (command) => repository.change(command) },
  })
  const repository = createServeRepository({ options, runtime, folder, files, say })
  stopOnSignals(runtime, folder)
  runtime.onEvent((event) => {
    if (event.kind !== 'interval') say(describeProblem(event.problem))
  })
  try {
    await start(runtime, repository, options)
  } catch (cause) {
    await close(runtime, folder)
    throw cause
  }
}

async function start(
  runtime: NodeRuntime,
  repository: ServeRepository,
  { listen, grpc }: ServeOptions,
): Promise<void> {
  const address = unwrap(await runtime.address())
  if (address.grpcPort !== null) say(`gRPC on ${grpc?.host}:${address.grpcPort}`)
  const models = await repository.start()
  const base = `http://${listen.host}:${address.port}/v2`
  if (models.length === 0) process.stdout.write(`${base}\n`)
  for (const model of models) process.stdout.write(`${base}/models/${model}\n`)
}

async function close(runtime: NodeRuntime, folder: string): Promise<void> {
  await runtime.close()
  await rm(folder, { recursive: true, force: true })
}

function stopOnSignals(runtime: NodeRuntime, folder: string): void {
  const stop = async (): Promise<void> => {
    await close(runtime, folder)
    process.exit(0)
  }
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void stop())
}

main().catch((cause: unknown) => {
  const problem = temporaryProblem(cause) ?? toProblem(cause, 'serve.failed')
  say(`linnet serve: ${describeProblem(problem)}`)
  process.exit(problem.code === 'usage' ? 1 : 2)
})
