/** `linnet serve --hosts`, as a program. */
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, describe, expect, it } from 'vitest'
import { programAt } from '../../../shared/node/program.ts'
import { encodeModel } from '../../../shared/onnx/graph-writer.ts'
import { softmax, tinyClassifier } from '../runtime/release-builder.ts'
import { inferBody } from './shared-hosts.ts'

const folder = mkdtempSync(join(tmpdir(), 'linnet-serve-hosts-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
const model = join(folder, 'tiny.onnx')
writeFileSync(model, encodeModel(tinyClassifier()))

describe('linnet serve --hosts', { timeout: 120_000 }, () => {
  const { file, execArgv } = programAt(import.meta.url, '../../../agent/serve-main')
  const run = (...args: string[]) => spawn(process.execPath, [...execArgv, file, model, ...args])

  it('serves from two hosts, also compressed requests of a session, and ends on SIGTERM', async () => {
    const child = run('--listen', '127.0.0.1:0', '--hosts', '2', '--balance', 'round-robin')
    const url = await new Promise<string>((resolve) =>
      child.stdout.once('data', (chunk) => resolve(String(chunk).trim())),
    )
    for (let i = 0; i < 4; i++) {
      const answer = await fetch(`${url}/infer`, { method: 'POST', body: inferBody(1) })
      const { outputs } = (await answer.json()) as { outputs: { data: number[] }[] }
      expect(outputs[0]?.data[1]).toBeCloseTo(softmax(1)[1], 5)
    }
    const requestsOf = async (): Promise<number[]> => {
      const text = await (await fetch(new URL('/metrics', url))).text()
      return [...text.matchAll(/^linnet_host_requests\{.*\} (\d+)$/gm)].map((m) => Number(m[1]))
    }
    expect(await requestsOf()).toEqual([2, 2])
    const body = gzipSync(inferBody(1, { parameters: { key: 'one-session' } }))
    for (let i = 0; i < 6; i++) {
      const headers = { 'content-encoding': 'gzip' }
      const answer = await fetch(`${url}/infer`, { method: 'POST', body, headers })
      expect(answer.status).toBe(200)
      await answer.arrayBuffer()
    }
    expect((await requestsOf()).toSorted()).toEqual([2, 8])
    child.kill('SIGTERM')
    expect(await new Promise((resolve) => child.once('exit', resolve))).toBe(0)
  })

  it('refuses gRPC beside it: a gRPC connection cannot be shared among hosts', async () => {
    const child = run('--hosts', '2', '--grpc', '127.0.0.1:0')
    let said = ''
    child.stderr.on('data', (chunk) => {
      said += chunk
    })
    expect(await new Promise((resolve) => child.once('exit', resolve))).toBe(1)
    expect(said).toContain('--grpc needs --hosts 1')
    expect(said).toContain('[usage]')
  })
})
