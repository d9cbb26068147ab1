/** The agent's program on a device that encrypts: what each way to start it does. */
import { spawn } from 'node:child_process'
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { sha256Hex } from '../../shared/kernel/sha256.ts'
import { programAt } from '../../shared/node/program.ts'

const MODEL = Buffer.from('a model that lay here before')
let home: string
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'linnet-encrypted-'))
  await mkdir(join(home, 'artifacts'))
  await writeFile(join(home, 'artifacts', sha256Hex(MODEL)), MODEL)
})
afterAll(() => rm(home, { recursive: true, force: true }))

/** A device without a token: it opens its artifacts, and then has nothing to join with. */
const MEMBERLESS = 'enrolment.needed'

/** What the last start wrote to its standard error. */
let said = ''

/** @returns the code that the program ended with. */
async function start(args: readonly string[], env: Record<string, string> = {}): Promise<string> {
  const { file, execArgv } = programAt(import.meta.url, '../../agent/main')
  const where = [
    '--controller',
    'http://127.0.0.1:1',
    '--profile',
    'raspberry-pi-5',
    '--home',
    home,
  ]
  const agent = spawn(process.execPath, [...execArgv, file, ...where, ...args], {
    env: { PATH: process.env.PATH, ...env },
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  said = ''
  agent.stderr.on('data', (chunk: Buffer) => {
    said += String(chunk)
  })
  const exit = await new Promise((ended) => agent.once('close', ended))
  return `${/\[([\w.]+)\]\s*$/.exec(said)?.[1] ?? said} ${exit}`
}
const stored = () => readFile(join(home, 'artifacts', sha256Hex(MODEL)))

describe('linnet agent', { timeout: 60_000 }, () => {
  it('encrypts what lies there in plain before it does anything else', async () => {
    await chmod(home, 0o750)
    expect(await start([])).toBe(`${MEMBERLESS} 2`)
    expect(said).toMatch(`others may look into the home home=${home} mode=0750`)
    expect(await stored()).toEqual(MODEL)
    await chmod(home, 0o700)
    expect(await start(['--encrypt-artifacts'])).toBe(`${MEMBERLESS} 2`)
    expect(said).not.toMatch('look into the home')
    expect((await stored()).includes('a model')).toBe(false)
    expect((await stored()).toString('latin1', 0, 7)).toBe('LNSEAL1')
  })

  it('does not start on an encrypted store without what opens it', async () => {
    const before = await stored()
    expect(await start([])).toBe('artifact.encrypted 2')
    const passphrase = { LINNET_ARTIFACT_PASSPHRASE: 'correct horse' }
    expect(await start(['--encrypt-artifacts'], passphrase)).toBe('artifact.key_wrong 2')
    await chmod(join(home, 'artifact.key'), 0o644)
    expect(await start(['--encrypt-artifacts'])).toBe('artifact.key_permissions 2')
    await rm(join(home, 'artifact.key'))
    expect(await start(['--encrypt-artifacts'])).toBe('artifact.key_missing 2')
    expect(await stored()).toEqual(before)
  })
})
