/** The real host and qualifier on encrypted artifacts: the key reaches them, and nobody else. */
import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { sealStore } from '../../../agent/artifact/seal-store.ts'
import { createNodeRuntime, type NodeRuntime } from '../../../agent/runtime/node-runtime.ts'
import { unwrap } from '../../../shared/kernel/result.ts'
import { createBenchReleases } from './bench-releases.ts'
import { PROFILE, served, softmax } from './release-builder.ts'

const KEY = Uint8Array.from({ length: 32 }, (_, i) => (i * 83 + 41) & 0xff)

let releases: ReturnType<typeof createBenchReleases>
let runtime: NodeRuntime

async function start(artifactKey: Uint8Array | undefined): Promise<string> {
  releases = createBenchReleases()
  const { folder } = releases
  await sealStore(folder, KEY)
  runtime = createNodeRuntime({
    ...{ device: 'device-1', boot: 'boot-1', profile: PROFILE, artifactKey },
    directory: join(folder, 'runtime'),
    artifactPath: (sha256) => join(folder, sha256),
    listen: { host: '127.0.0.1', port: 0 },
    socketPath: null,
  })
  const { port } = unwrap(await runtime.address())
  return `http://127.0.0.1:${port}/v2/models/tiny/infer`
}
afterEach(async () => {
  await runtime.close()
  releases.dispose()
})

const plan = (generation: number) => {
  const current = served(releases.folder, releases.good)
  const nothing = { candidate: null, previous: null, trafficShare: 0, shadow: 0, rollout: null }
  return { generation, windowMs: 60_000, models: [{ model: 'tiny', current, ...nothing }] }
}

async function ask(url: string): Promise<number[]> {
  const body = JSON.stringify({
    inputs: [{ name: 'x', datatype: 'FP32', shape: [1, 2], data: [1, 0] }],
  })
  for (let attempt = 0; attempt < 1_000; attempt++) {
    const answer = await fetch(url, { method: 'POST', body }).catch(() => undefined)
    if (answer?.ok) return (await answer.json()).outputs[0].data
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  throw new Error('no answer in 50 s')
}

const hostPid = (): string => {
  const found = execFileSync('pgrep', ['-P', String(process.pid), '-f', 'host-main'])
  return String(found).trim().split('\n').at(-1)!
}

function filesUnder(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
}

describe('A device whose artifacts are encrypted', { timeout: 120_000 }, () => {
  it('proves and serves them, also with a new host, and leaves nothing in plain', async () => {
    const url = await start(KEY)
    const { good, folder } = releases
    const proof = unwrap(await runtime.qualify(good, new AbortController().signal))
    expect(proof.chosen).toBe('cpu')
    expect(await runtime.serve(plan(1))).toEqual({ served: true })
    expect((await ask(url))[1]).toBeCloseTo(softmax(1)[1], 5)
    process.kill(Number(hostPid()), 'SIGKILL')
    expect((await ask(url))[1]).toBeCloseTo(softmax(1)[1], 5)
    // The name that stands in every model and every golden file of this bench.
    const plain = filesUnder(folder).filter((path) => readFileSync(path).includes('scores'))
    expect(plain).toEqual([])
  })

  it('gives the key to the host by no argument and by no variable', async () => {
    await start(KEY)
    expect(await runtime.serve(plan(1))).toEqual({ served: true })
    for (const file of ['cmdline', 'environ']) {
      const text = readFileSync(`/proc/${hostPid()}/${file}`)
      for (const encoding of ['latin1', 'hex', 'base64', 'base64url'] as const) {
        expect(text.includes(Buffer.from(KEY).toString(encoding))).toBe(false)
      }
      expect(text.includes(Buffer.from(KEY))).toBe(false)
    }
  })

  it('serves nothing without the key', async () => {
    await start(undefined)
    const { good } = releases
    const outcome = await runtime.serve(plan(1))
    expect(outcome).toMatchObject({
      served: false,
      broken: [{ sha256: good.release.sha256, problem: { code: 'artifact.digest' } }],
    })
    const proof = await runtime.qualify(good, new AbortController().signal)
    expect(proof).toMatchObject({ ok: false, error: { code: 'artifact.digest' } })
  })
})
