/** `linnet serve` as a program, and what it takes for a model. */
import { spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { findModels } from '../../../agent/serve/model-folder.ts'
import { programAt } from '../../../shared/node/program.ts'
import { encodeModel } from '../../../shared/onnx/graph-writer.ts'
import { softmax, tinyClassifier } from '../runtime/release-builder.ts'

const folder = mkdtempSync(join(tmpdir(), 'linnet-serve-test-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

function write(path: string, bytes: Uint8Array | string = encodeModel(tinyClassifier())): string {
  const full = join(folder, path)
  mkdirSync(join(full, '..'), { recursive: true })
  writeFileSync(full, bytes)
  return full
}

describe('Models to serve', () => {
  it('are files by their name, and the newest versions in a repository folder', async () => {
    const file = write('My Model.onnx')
    write('repository/faces/1/model.onnx')
    const newest = write('repository/faces/10/model.onnx')
    write('repository/README.md', 'not a model')
    expect(await findModels([file, join(folder, 'repository')])).toEqual({
      ok: true,
      value: [
        { model: 'my-model', version: '1.0.0', path: file },
        { model: 'faces', version: '10.0.0', path: newest },
      ],
    })
  })

  it('must exist, and have names of their own', async () => {
    const file = write('twice.onnx')
    expect(await findModels([join(folder, 'absent.onnx')])).toMatchObject({
      error: { code: 'serve.no_model' },
    })
    expect(await findModels([file, file])).toMatchObject({ error: { code: 'serve.same_name' } })
  })
})

describe('linnet serve', { timeout: 120_000 }, () => {
  const { file, execArgv } = programAt(import.meta.url, '../../../agent/serve-main')

  it('proves a model, serves it, says that it is unsigned, and ends on SIGTERM', async () => {
    const broken = write('broken.onnx', '<html>')
    const paths = [write('tiny.onnx'), broken, '--listen', '127.0.0.1:0', '--grpc', '127.0.0.1:0']
    const child = spawn(process.execPath, [...execArgv, file, ...paths], {
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let said = ''
    child.stderr.on('data', (chunk) => {
      said += chunk
    })
    const url = await new Promise<string>((resolve) =>
      child.stdout.once('data', (chunk) => resolve(String(chunk).trim())),
    )
    expect(url).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/v2\/models\/tiny$/)
    expect(said).toContain('Unsigned models')
    expect(said).toContain('broken: This is not an ONNX file.')
    expect(said).toMatch(/tiny: cpu, loads in \d+ ms/)
    expect(said).toMatch(/gRPC on 127\.0\.0\.1:\d+/)
    const body = JSON.stringify({
      inputs: [{ name: 'x', datatype: 'FP32', shape: [1, 2], data: [1, 0] }],
    })
    const answer = await fetch(`${url}/infer`, { method: 'POST', body })
    const { outputs } = (await answer.json()) as { outputs: { data: number[] }[] }
    expect(outputs[0]?.data[1]).toBeCloseTo(softmax(1)[1], 5)
    child.kill('SIGTERM')
    expect(await new Promise((resolve) => child.once('exit', resolve))).toBe(0)
  })

  it('listens on loopback only', async () => {
    const child = spawn(process.execPath, [...execArgv, file, 'x.onnx', '--listen', '0.0.0.0:0'])
    expect(await new Promise((resolve) => child.once('exit', resolve))).toBe(1)
  })
})
