/** A runtime of its own with real models, as an agent has it, for benchmarks of swaps and memory. */
import { execFileSync } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ServedModel, ServedRelease } from '../../agent/ports.ts'
import { createNodeRuntime, type NodeRuntime } from '../../agent/runtime/node-runtime.ts'
import { localProfile, unsignedRelease } from '../../agent/runtime/unsigned-release.ts'
import { unwrap } from '../../shared/kernel/result.ts'
import { realModel } from './programs.ts'

export interface BenchDevice {
  readonly runtime: NodeRuntime
  readonly port: number
  /** The model host; another one after each restart. */
  hostPid(): number
  release(model: string, version: string, file: string): Promise<ServedRelease>
  serve(...models: readonly ServedModel[]): Promise<void>
  close(): Promise<void>
}

export async function createBenchDevice(): Promise<BenchDevice> {
  const folder = await mkdtemp(join(tmpdir(), 'linnet-bench-'))
  const files = new Map<string, string>()
  const runtime = createNodeRuntime({
    ...{ device: 'bench', boot: 'bench', profile: localProfile(['cpu'], 1), directory: folder },
    artifactPath: (sha256) => files.get(sha256),
    listen: { host: '127.0.0.1', port: 0 },
    socketPath: null,
  })
  const { port } = unwrap(await runtime.address())
  let generation = 0
  return {
    runtime,
    port: port ?? 0,
    hostPid: () => {
      const found = execFileSync('pgrep', ['-P', String(process.pid), '-f', 'host-main'])
      return Number(String(found).trim())
    },
    async release(model, version, file) {
      const path = realModel(file)
      const resolved = unwrap(
        await unsignedRelease({ model, version, path }, { spec: {}, folder, files }),
      )
      return { resolved, provider: 'cpu', modelPath: path }
    },
    async serve(...models) {
      generation += 1
      const outcome = await runtime.serve({ generation, windowMs: 60_000, models })
      if (!outcome.served) throw new Error(JSON.stringify(outcome.broken))
    },
    close: async () => {
      await runtime.close()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

export function alone(
  model: string,
  current: ServedRelease,
  previous: ServedRelease | null = null,
): ServedModel {
  return {
    ...{ model, current, candidate: null, previous, rollout: null },
    ...{ trafficShare: 0, shadow: 0 },
  }
}
