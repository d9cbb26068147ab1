import { spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { openMode } from '../../../shared/node/home-access.ts'
import { lockHome, requireUnlocked } from '../../../shared/node/home-lock.ts'

let home: string
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'linnet-lock-'))
})
afterEach(() => rmSync(home, { recursive: true, force: true }))

const held = () => readFileSync(join(home, 'agent.lock'), 'utf8')
const hold = (text: string) => writeFileSync(join(home, 'agent.lock'), text)
const refusal = /stop it first.*\[home\.in_use\]/

describe('the lock of a home', () => {
  it('names the process that holds it, and leaves nothing else behind', () => {
    lockHome(home, 'agent')
    expect(held()).toMatch(new RegExp(`^${process.pid} `))
    expect(readdirSync(home)).toEqual(['agent.lock'])
  })

  it('makes a home that only its user may look into, and leaves one that is there as it is', () => {
    const made = join(home, 'new/home')
    lockHome(made, 'agent')
    expect(statSync(made).mode & 0o777).toBe(0o700)
    expect(openMode(made)).toBeUndefined()
    for (const mode of [0o750, 0o705, 0o710]) {
      chmodSync(home, mode)
      lockHome(home, 'agent')
      expect(openMode(home)).toBe(`0${mode.toString(8)}`)
    }
  })

  it('is refused while another process holds it, and given once that was killed', async () => {
    const other = spawn(process.execPath, ['-e', 'setTimeout(() => {}, 60_000)'])
    hold(`${other.pid} -\n`)
    expect(() => lockHome(home, 'agent')).toThrow(refusal)
    expect(() => requireUnlocked(home, 'agent')).toThrow(refusal)
    other.kill('SIGKILL')
    await once(other, 'exit')
    lockHome(home, 'agent')
    expect(held()).toMatch(new RegExp(`^${process.pid} `))
  })

  it.runIf(process.platform === 'linux')('is not held by whoever got the process id next', () => {
    hold(`${process.ppid} 1\n`)
    lockHome(home, 'agent')
    expect(held()).toMatch(new RegExp(`^${process.pid} `))
  })

  it.each(['', 'x', `${process.pid} -\n`])('is taken over from %j', (text) => {
    hold(text)
    lockHome(home, 'agent')
    expect(held()).toMatch(new RegExp(`^${process.pid} `))
  })
})
