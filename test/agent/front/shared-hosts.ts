/** A real runtime with several model hosts behind its front, and a client that counts what it gets. */
import { execFileSync } from 'node:child_process'
import { Agent, request } from 'node:http'
import { join } from 'node:path'
import type { ClosedInterval, RuntimeEvent, ServedModel } from '../../../agent/ports.ts'
import type { HostSharing } from '../../../agent/runtime/host/model-hosts.ts'
import { createNodeRuntime, type RuntimeLimits } from '../../../agent/runtime/node-runtime.ts'
import { createBenchReleases } from '../runtime/bench-releases.ts'
import { PROFILE, served } from '../runtime/release-builder.ts'

export interface SharedOptions {
  readonly sharing?: Partial<HostSharing>
  readonly limits?: Partial<RuntimeLimits>
  readonly socket?: boolean
}

export async function createSharedHosts({ sharing, limits, socket = false }: SharedOptions = {}) {
  const releases = createBenchReleases()
  const { folder, dispose } = releases
  const socketPath = socket ? join(folder, 'api.sock') : null
  const runtime = createNodeRuntime({
    ...{ device: 'device-1', boot: 'boot-1', profile: PROFILE },
    directory: join(folder, 'runtime'),
    artifactPath: (sha256) => join(folder, sha256),
    listen: { host: '127.0.0.1', port: 0 },
    socketPath,
    sharing: { hostsMin: 2, hostsMax: 2, policy: 'round-robin', weights: [], ...sharing },
    limits: { flushMs: 50, ...limits },
  })
  const events: RuntimeEvent[] = []
  runtime.onEvent((event) => void events.push(event))
  const address = await runtime.address()
  if (!address.ok) throw new Error(address.error.message)
  const port = address.value.port!
  return {
    ...{ ...releases, runtime, events, port, socketPath },
    url: `http://127.0.0.1:${port}`,
    model: (more: Partial<ServedModel> = {}): ServedModel => ({
      ...{ model: 'tiny', current: served(folder, releases.good), candidate: null },
      ...{ previous: null, trafficShare: 0, shadow: 0, rollout: null, ...more },
    }),
    /** The process of this host, or of the front. */
    pid: (which: number | 'front'): number | undefined =>
      pidOf(which === 'front' ? 'front-main' : join(folder, 'runtime', `host-${which}.sock`)),
    /** What the device counted so far, over all intervals and arms. */
    counted: () => countOf(events),
    dispose: async () => {
      await runtime.close()
      dispose()
    },
  }
}

export type SharedHosts = Awaited<ReturnType<typeof createSharedHosts>>

export const plan = (generation: number, models: readonly ServedModel[], windowMs = 500) => ({
  ...{ generation, windowMs, models },
})

function pidOf(words: string): number | undefined {
  try {
    const found = execFileSync('pgrep', ['-P', String(process.pid), '-f', words])
    return Number(String(found).trim().split('\n').at(-1))
  } catch {
    return undefined
  }
}

function countOf(events: readonly RuntimeEvent[]) {
  const intervals = events.flatMap((event) =>
    event.kind === 'interval' ? [event.interval] : [],
  ) as ClosedInterval[]
  const windows = intervals.flatMap(({ arms }) => arms.map(({ window }) => window))
  const n = windows.reduce((sum, window) => sum + window.n, 0)
  const crashed = windows.reduce((sum, window) => sum + window.errors.crashed, 0)
  return { n, crashed }
}

export const inferBody = (x0: number, more: object = {}): string =>
  JSON.stringify({
    inputs: [{ name: 'x', datatype: 'FP32', shape: [1, 2], data: [x0, 0] }],
    ...more,
  })

export interface Reply {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly text: string
}

/** One request over its own pooled connection; rejects where the connection breaks. */
export function createClient(port: number, connections: number) {
  const agent = new Agent({ keepAlive: true, maxSockets: connections })
  const ask = (method: string, path: string, body = '', signal?: AbortSignal): Promise<Reply> =>
    new Promise((resolve, reject) => {
      const headers = { 'content-length': Buffer.byteLength(body) }
      const asked = request({ port, host: '127.0.0.1', agent, method, path, headers, signal })
      asked.on('error', reject)
      asked.on('response', (answer) => {
        let text = ''
        answer.on('data', (chunk) => {
          text += chunk
        })
        answer.on('error', reject)
        answer.on('end', () =>
          resolve({ status: answer.statusCode ?? 0, headers: answer.headers, text }),
        )
      })
      asked.end(body)
    })
  return {
    ask,
    infer: (x0: number, more?: object): Promise<Reply> =>
      ask('POST', '/v2/models/tiny/infer', inferBody(x0, more)),
    close: () => agent.destroy(),
  }
}

export type Client = ReturnType<typeof createClient>

export async function waitFor(what: string, isTrue: () => boolean | Promise<boolean>) {
  for (let i = 0; i < 600; i++) {
    if (await isTrue()) return
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  throw new Error(`not in 30 s: ${what}`)
}

export const sleep = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms))
