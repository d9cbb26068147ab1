/** What a program that was killed leaves in the temporary folder, and who removes it. */
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { deriveInProcess } from '../../agent/runtime/qualify/derive-in-process.ts'
import { sweepScratch } from '../../agent/runtime/qualify/optimised-file.ts'
import { makeTemporaryFolder, temporaryProblem } from '../../agent/temporary-folder.ts'
import { encodeModel } from '../../shared/onnx/graph-writer.ts'
import { tinyClassifier } from './runtime/release-builder.ts'

let parent: string
beforeEach(() => {
  parent = mkdtempSync(join(tmpdir(), 'linnet-temporary-test-'))
})
afterEach(() => rmSync(parent, { recursive: true, force: true }))

it('removes the folders of its kind whose process is dead, and no others', async () => {
  const { pid: dead } = spawnSync(process.execPath, ['--version'])
  const kept = [`kind-${process.pid}-a`, 'kind-other', `else-${dead}-a`]
  for (const name of [...kept, `kind-${dead}-a`]) mkdirSync(join(parent, name))
  const made = await makeTemporaryFolder('kind-', parent)
  expect(basename(made)).toMatch(new RegExp(`^kind-${process.pid}-`))
  expect(readdirSync(parent).toSorted()).toEqual([...kept, basename(made)].toSorted())
})

it('is named when it is full, where a model is tried', async () => {
  const full = Object.assign(new Error('ENOSPC: write'), { code: 'ENOSPC' })
  expect(temporaryProblem(full)).toMatchObject({
    code: 'disk.full',
    next: expect.stringContaining(tmpdir()),
  })
  expect(temporaryProblem(new Error('no kernel'))).toBeUndefined()
  if (process.platform !== 'linux') return
  const model = join(parent, 'model.onnx')
  writeFileSync(model, encodeModel(tinyClassifier()))
  const task = { model, golden: '/dev/full', spec: {}, inputs: undefined, timeMsMax: 60_000 }
  expect(await deriveInProcess(task)).toMatchObject({ error: { code: 'disk.full' } })
})

it('of plain models in memory are removed at the start, also where none is made', async () => {
  const { pid: dead } = spawnSync(process.execPath, ['--version'])
  for (const pid of [dead, process.pid]) {
    mkdirSync(join(parent, `linnet-scratch-${pid}-a`))
    writeFileSync(join(parent, `linnet-scratch-${pid}-a`, 'optimised'), 'a model in plain')
  }
  await sweepScratch(parent)
  expect(readdirSync(parent)).toEqual([`linnet-scratch-${process.pid}-a`])
})
