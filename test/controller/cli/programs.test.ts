/** Programs that the command line starts: what everybody on the machine can see of them. */
import { execFileSync, spawn } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { programAt } from '../../../shared/node/program.ts'
import { formatEnrolmentToken } from '../../../shared/signing/enrolment-token.ts'

const SECRET = 's'.repeat(32)
const TOKEN = formatEnrolmentToken({
  ...{ fleet: 'plant', id: 't1', secret: SECRET, rootSha256: 'a'.repeat(64) },
})

describe.skipIf(!existsSync('/proc/self/cmdline'))('linnet agent', () => {
  it.each([['--token', TOKEN], [`--token=${TOKEN}`]])(
    'is started without its token among the arguments: %s',
    { timeout: 60_000 },
    async (...given) => {
      const home = await mkdtemp(join(tmpdir(), 'linnet-cli-'))
      const { file, execArgv } = programAt(import.meta.url, '../../../controller/cli/main')
      // Nobody listens there: the agent goes on asking.
      const where = [
        '--controller',
        'http://127.0.0.1:1',
        '--profile',
        'raspberry-pi-5',
        '--home',
        home,
      ]
      const linnet = spawn(process.execPath, [...execArgv, file, 'agent', ...given, ...where], {
        stdio: ['ignore', 'ignore', 'pipe'],
      })
      onTestFinished(async () => {
        linnet.kill('SIGTERM')
        await new Promise((ended) => linnet.once('exit', ended))
        await rm(home, { recursive: true, force: true })
      })
      let said = ''
      linnet.stderr.on('data', (chunk: Buffer) => {
        said += String(chunk)
      })
      // It has the token: without one it would have ended.
      await vi.waitFor(() => expect(said).toContain('cannot be reached'), 50_000)
      const children = String(execFileSync('pgrep', ['-P', String(linnet.pid)]))
        .trim()
        .split('\n')
      const programs = children.map((pid) => readFileSync(`/proc/${pid}/cmdline`, 'utf8'))
      expect(programs.some((line) => line.includes('agent/main'))).toBe(true)
      expect(programs.filter((line) => line.includes(SECRET))).toEqual([])
    },
  )
})
