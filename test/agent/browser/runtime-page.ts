/** The page of the runtime tests: makes a `WebRuntime` on demand and hands it to the test by name. */

import type { ReadArtifact } from '../../../agent/browser/web-qualifier.ts'
import { createWebRuntime, type WebRuntime } from '../../../agent/browser/web-runtime.ts'
import type { ResolvedRelease, RuntimeEvent, ServePlan, SmallFiles } from '../../../agent/ports.ts'
import type { FirmwareProfile } from '../../../shared/model/profile.ts'

export interface BenchSettings {
  readonly profile: FirmwareProfile
  readonly gpu: boolean
  readonly threads: number
  readonly hangMs?: number
}

function mapFiles(): SmallFiles {
  const files = new Map<string, string>()
  return {
    read: async (name) => files.get(name),
    write: async (name, text) => void files.set(name, text),
    names: async () => [...files.keys()],
    remove: async (name) => void files.delete(name),
  }
}

const readArtifact: ReadArtifact = async (sha256) => {
  const response = await fetch(`/files/${sha256}`)
  if (response.ok) return { ok: true, value: new Uint8Array(await response.arrayBuffer()) }
  const problem = { code: 'artifact.missing', message: `${response.status}` }
  return { ok: false, error: problem }
}

let runtime: WebRuntime
const events: RuntimeEvent[] = []
const attempts: unknown[] = []

export const bench = {
  isolated: () => globalThis.crossOriginIsolated,
  async create({ profile, gpu, threads, hangMs }: BenchSettings): Promise<void> {
    runtime = await createWebRuntime({
      device: 'd1',
      boot: 'b1',
      profile,
      engine: { gpu, threads },
      gpuMissing: 'switched off for this test',
      script: new URL('./runtime-worker-main.js', import.meta.url),
      readArtifact,
      settings: mapFiles(),
      onAttempt: (attempt, measured) => attempts.push({ attempt, measured }),
      limits: { flushMs: 50, ...(hangMs === undefined ? {} : { hangMs }) },
    })
    runtime.onEvent((event) => events.push(event))
  },
  qualify(release: ResolvedRelease, aborted: boolean) {
    return runtime.qualify(release, aborted ? AbortSignal.abort() : new AbortController().signal)
  },
  serve: (plan: ServePlan) => runtime.serve(plan),
  close: () => runtime.close(),
  restartHost: () => runtime.restartHost(),
  attempts: () => attempts,
  /** What happened since the last call. */
  takeEvents: () => events.splice(0),
  /** One request over the local API. */
  async ask(path: string, body: string | null, headers: Record<string, string> = {}) {
    const init = body === null ? { headers } : { method: 'POST', body, headers }
    const response = await runtime.fetch(path, init)
    const text = await response.text()
    return { status: response.status, headers: Object.fromEntries(response.headers), text }
  },
}

Object.assign(globalThis, { bench })
