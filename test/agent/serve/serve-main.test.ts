/** `linnet serve` as a program, and what it takes for a model. */
import { spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
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
    const labels = write('repository/faces/face_labels.txt', 'no\nyes')
    write('repository/README.md', 'not a model')
    expect(await findModels([file, join(folder, 'repository')])).toEqual({
      ok: true,
      value: [
        { model: 'my-model', version: '1.0.0', path: file },
        { model: 'faces', version: '10', path: newest, labels },
      ],
    })
  })

  it('keep their names, and bring all their versions where these are asked for', async () => {
    const paths = ['2', '10'].map((version) => write(`foreign/ResNet.50/${version}/model.onnx`))
    write('foreign/ResNet.50/draft/model.onnx')
    write('foreign/ResNet.50/11/notes.txt', 'no model')
    expect(await findModels([join(folder, 'foreign')], 'all')).toEqual({
      ok: true,
      value: [
        { model: 'ResNet.50', version: '10', path: paths[1] },
        { model: 'ResNet.50', version: '2', path: paths[0] },
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

  /** @returns the first line on stdout, and what stands on stderr by then and later. */
  async function start(...args: string[]) {
    const child = spawn(process.execPath, [...execArgv, file, ...args, '--listen', '127.0.0.1:0'], {
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let said = ''
    child.stderr.on('data', (chunk) => {
      said += chunk
    })
    const url = await new Promise<string>((resolve) =>
      child.stdout.once('data', (chunk) => resolve(String(chunk).trim())),
    )
    const stop = () => {
      child.kill('SIGTERM')
      return new Promise((resolve) => child.once('exit', resolve))
    }
    return { url, said: () => said, stop }
  }

  const X = { name: 'x', datatype: 'FP32', shape: [1, 2], data: [1, 0] }

  /** What the tiny classifier says to [1, 0], or the error. */
  async function ask(url: string): Promise<{ status: number; version?: string; high?: number }> {
    const body = JSON.stringify({ inputs: [X] })
    const answer = await fetch(`${url}/infer`, { method: 'POST', body })
    const { outputs, model_version: version } = (await answer.json()) as {
      outputs?: { data: number[] }[]
      model_version?: string
    }
    const high = outputs?.[0]?.data[1]
    return { status: answer.status, ...(version && { version }), ...(high && { high }) }
  }

  it('proves a model, serves it, says that it is unsigned, and ends on SIGTERM', async () => {
    const paths = [write('tiny.onnx'), write('broken.onnx', '<html>')]
    const flags = ['--grpc', '127.0.0.1:0', '--server-name', 'triton']
    const { url, said, stop } = await start(...paths, ...flags)
    expect(url).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/v2\/models\/tiny$/)
    await expect.poll(said).toContain('Unsigned models')
    await expect.poll(said).toContain('broken: This is not an ONNX file.')
    await expect.poll(said).toMatch(/tiny: cpu, loads in \d+ ms/)
    await expect.poll(said).toMatch(/gRPC on 127\.0\.0\.1:\d+/)
    expect((await ask(url)).high).toBeCloseTo(softmax(1)[1], 5)
    expect((await ask(`${url}/versions/2`)).status).toBe(404)
    const base = url.replace(/\/models.*/, '')
    expect(await (await fetch(base)).json()).toMatchObject({ name: 'triton' })
    const index = await fetch(`${base}/repository/index`, { method: 'POST' })
    expect(await index.json()).toEqual([
      { name: 'tiny', version: '1.0.0', state: 'READY', reason: 'slot current' },
      {
        ...{ name: 'broken', version: '1.0.0', state: 'UNAVAILABLE' },
        reason: expect.stringContaining('not an ONNX file'),
      },
    ])
    const refused = await fetch(`${base}/repository/models/tiny/unload`, { method: 'POST' })
    expect([refused.status, refused.headers.get('linnet-code')]).toEqual([
      403,
      'repository.refused',
    ])
    expect(await stop()).toBe(0)
  })

  it('loads and unloads on demand with --model-control explicit, every version proved', async () => {
    write('control/tiny/1/model.onnx')
    write('control/tiny/2/model.onnx', encodeModel(tinyClassifier(1)))
    write('control/tiny/labels.txt', 'low\nhigh\n')
    write('control/bad/1/model.onnx', '<html>')
    const { url, stop } = await start(
      ...[join(folder, 'control'), '--model-control', 'explicit', '--versions', 'all'],
    )
    const post = async (path: string, body?: string) => {
      const answer = await fetch(`${url}/repository/${path}`, {
        method: 'POST',
        ...(body && { body }),
      })
      const { status } = answer
      return { status, code: answer.headers.get('linnet-code'), body: await answer.json() }
    }
    const states = async () =>
      ((await post('index')).body as { name: string; version: string; state: string }[]).map(
        ({ name, version, state }) => `${name}/${version} ${state}`,
      )
    expect((await fetch(`${url}/health/ready`)).status).toBe(200)
    expect(await states()).toEqual([
      'bad/1 UNAVAILABLE',
      'tiny/2 UNAVAILABLE',
      'tiny/1 UNAVAILABLE',
    ])
    expect((await ask(`${url}/models/tiny`)).status).toBe(404)
    const coming = post('models/tiny/load', '{}')
    while (!(await states()).includes('tiny/2 LOADING')) await sleep(20)
    // Who asks now is told to wait, and not that there is no such model.
    expect((await ask(`${url}/models/tiny`)).status).toBe(503)
    expect((await coming).status).toBe(200)
    expect((await post('models/bad/load')).status).toBe(400)
    expect((await post('models/none/load')).code).toBe('repository.unknown_model')
    const load = (config: string) =>
      post('models/tiny/load', JSON.stringify({ parameters: { config } }))
    const told = async () =>
      ((await (await fetch(`${url}/models/tiny/config`)).json()) as { max_batch_size: number })
        .max_batch_size
    expect((await load('{"backend":"python"}')).code).toBe('request.unsupported')
    expect([(await load('{"max_batch_size":"16"}')).status, await told()]).toEqual([200, 16])
    expect(await states()).toEqual(['tiny/2 READY', 'tiny/1 READY', 'bad/1 UNAVAILABLE'])
    expect(((await post('index', '{"ready":true}')).body as unknown[]).length).toBe(2)
    const newest = await ask(`${url}/models/tiny`)
    expect(newest).toMatchObject({ version: '2', high: expect.closeTo(softmax(1, 1)[1], 5) })
    const scores = { name: 'scores', parameters: { classification: 1 } }
    const best = await fetch(`${url}/models/tiny/infer`, {
      method: 'POST',
      body: JSON.stringify({ inputs: [X], outputs: [scores] }),
    })
    expect(await best.json()).toMatchObject({
      outputs: [{ shape: [1, 1], data: [expect.stringMatching(/^0\.\d{6}:1:high$/)] }],
    })
    for (const version of ['1', '1.0.0']) {
      const older = await ask(`${url}/models/tiny/versions/${version}`)
      expect(older).toMatchObject({ version: '1', high: expect.closeTo(softmax(1)[1], 5) })
    }
    // Nothing is on its way any more, so nobody is told to wait for a version that never comes.
    expect((await ask(`${url}/models/tiny/versions/3`)).status).toBe(404)
    expect((await fetch(`${url}/models/tiny/versions/7/stats`)).status).toBe(404)
    // Another version arrives while it serves; a load finds it.
    write('control/tiny/3/model.onnx', encodeModel(tinyClassifier(2)))
    expect([(await post('models/tiny/load')).status, await told()]).toEqual([200, 64])
    expect((await ask(`${url}/models/tiny`)).version).toBe('3')
    expect(
      (await post('models/tiny/unload', '{"parameters":{"unload_dependents":false}}')).status,
    ).toBe(200)
    expect(await states()).toContain('tiny/3 UNAVAILABLE')
    expect((await ask(`${url}/models/tiny`)).status).toBe(404)
    expect(await stop()).toBe(0)
  })

  it('takes an idle model out of memory and brings it back when it is asked', async () => {
    const { url, said, stop } = await start(write('idle.onnx'), '--idle-unload-s', '0.5')
    const metric = async (name: string): Promise<number> => {
      const text = await (await fetch(url.replace(/v2.*/, 'metrics'))).text()
      const line = text.split('\n').find((each) => each.startsWith(name))
      return Number(line?.split(' ').at(-1))
    }
    while ((await metric('linnet_model_loaded')) === 1) await sleep(100)
    await expect.poll(said).toContain('idle@1.0.0: released: idle for 1 s')
    expect(await metric('linnet_model_memory_bytes')).toBe(0)
    expect((await fetch(`${url}/ready`)).status).toBe(200)
    expect((await ask(url)).high).toBeCloseTo(softmax(1)[1], 5)
    expect(await metric('linnet_model_loads')).toBe(2)
    // On a slow machine it may be idle again by now.
    const released = await metric(
      'linnet_model_releases{model="idle",version="1.0.0",reason="idle"}',
    )
    expect(released).toBeGreaterThanOrEqual(1)
    expect(await metric('nv_cpu_memory_total_bytes')).toBeGreaterThan(2 ** 20)
    expect(await metric('nv_cpu_utilization')).toBeLessThanOrEqual(1)
    await stop()
  })

  it('refuses a model that does not fit, with the figures, and serves the others', async () => {
    const { graph, ...rest } = tinyClassifier()
    const data = new Float32Array(2 ** 20).fill(1)
    const heavy = { name: 'heavy', datatype: 'FP32' as const, shape: [data.length], data }
    const initializers = [...graph.initializers, heavy]
    write('limits/large/1/model.onnx', encodeModel({ ...rest, graph: { ...graph, initializers } }))
    write('limits/small/1/model.onnx')
    const { url, said, stop } = await start(join(folder, 'limits'), '--memory-max', '1.5')
    expect(url).toMatch(/models\/small$/)
    const index = await fetch(url.replace(/models.*/, 'repository/index'), { method: 'POST' })
    expect(await index.json()).toEqual([
      expect.objectContaining({ name: 'small', state: 'READY' }),
      {
        ...{ name: 'large', version: '1', state: 'UNAVAILABLE' },
        reason: expect.stringMatching(/expected at most 1\.5 MiB; found \d/),
      },
    ])
    await expect.poll(said).toContain('more memory than this host may use')
    await stop()
  })

  it('leaves nothing behind when it cannot start', async () => {
    const own = mkdtempSync(join(folder, 'tmp-'))
    const args = [...execArgv, file, join(folder, 'absent.onnx'), '--listen', '127.0.0.1:0']
    const env = { ...process.env, TMPDIR: own }
    const child = spawn(process.execPath, args, { env, stdio: 'ignore' })
    expect(await new Promise((resolve) => child.once('exit', resolve))).toBe(2)
    expect(readdirSync(own).filter((name) => name.startsWith('linnet-'))).toEqual([])
  })

  it('listens on loopback only', async () => {
    const child = spawn(process.execPath, [...execArgv, file, 'x.onnx', '--listen', '0.0.0.0:0'])
    expect(await new Promise((resolve) => child.once('exit', resolve))).toBe(1)
  })
})
