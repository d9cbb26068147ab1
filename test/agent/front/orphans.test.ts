/** Processes of an agent that died before they had started: none stays behind. */
import { fork } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { programAt } from '../../../shared/node/program.ts'

const folder = mkdtempSync(join(tmpdir(), 'linnet-orphans-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const PROGRAMS = {
  'model host': '../../../agent/runtime/host/host-main',
  front: '../../../agent/front/front-main',
}

describe('A process whose agent is gone', { timeout: 60_000 }, () => {
  it.each(Object.entries(PROGRAMS))('ends: the %s, at its first look', async (name, path) => {
    const { file, execArgv } = programAt(import.meta.url, path)
    const address = { listen: null, grpc: null, socketPath: join(folder, `${name}.sock`) }
    const options = { ...address, markPath: join(folder, 'mark'), policy: 'weighted', seed: '' }
    const child = fork(file, [JSON.stringify(options)], {
      execArgv: [...execArgv],
      stdio: 'ignore',
    })
    child.disconnect()
    expect(await new Promise((resolve) => child.once('exit', resolve))).toBe(0)
  })
})
