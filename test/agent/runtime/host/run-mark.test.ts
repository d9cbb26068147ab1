/** What a host leaves behind of its last moment: which release ran, if one did. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { type HostExit, startHostProcess } from '../../../../agent/runtime/host/host-process.ts'
import type { HostOptions } from '../../../../agent/runtime/host/host-protocol.ts'
import { openRunMark, takeRunMark } from '../../../../agent/runtime/host/run-mark.ts'

const folder = mkdtempSync(join(tmpdir(), 'linnet-mark-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
const A = 'a'.repeat(64)
const B = 'b'.repeat(64)

describe('The run mark', () => {
  it('names the release in a run, and none between runs', () => {
    const path = join(folder, 'one')
    for (const [runs, found] of [
      [[A], A],
      [[A, null], undefined],
      [[A, null, A], A],
      [[A, null, B], B],
      [[], undefined],
    ] as const) {
      const mark = openRunMark(path)
      for (const sha256 of runs) mark.set(sha256)
      mark.close()
      expect(takeRunMark(path)).toBe(found)
    }
  })

  it('is judged once', () => {
    const path = join(folder, 'once')
    writeFileSync(path, A)
    expect([takeRunMark(path), takeRunMark(path)]).toEqual([A, undefined])
  })

  it.runIf(process.platform === 'linux')('on a full disk is refused with what helps', () => {
    const refused = expect.objectContaining({
      problem: expect.objectContaining({ code: 'disk.full', next: 'make room in /dev' }),
    })
    expect(() => openRunMark('/dev/full')).toThrow(refused)
  })

  it('of a former life is nothing to a host that dies before it makes its own', async () => {
    const markPath = join(folder, 'former')
    writeFileSync(markPath, A)
    const exit = await new Promise<HostExit>((onExit) => {
      const host = { markPath, listen: 'nowhere' } as unknown as HostOptions
      const [NODE_OPTIONS] = [process.env.NODE_OPTIONS]
      process.env.NODE_OPTIONS = '--no-such-option-of-node'
      startHostProcess({ host, hangMs: 1e5, loadMsMax: 1e5, onMessage: () => undefined, onExit })
      if (NODE_OPTIONS === undefined) delete process.env.NODE_OPTIONS
      else process.env.NODE_OPTIONS = NODE_OPTIONS
    })
    expect(exit).toMatchObject({ code: 9, running: undefined })
  })
})
