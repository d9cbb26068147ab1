/** `linnet profile` as a program, on this machine. */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { describe, expect, it } from 'vitest'
import { programAt } from '../../../shared/node/program.ts'

const { file, execArgv } = programAt(import.meta.url, '../../../agent/profile-main')
const run = async (...args: string[]) =>
  promisify(execFile)(process.execPath, [...execArgv, file, ...args]).then(
    ({ stdout }) => ({ code: 0, stdout, stderr: '' }),
    ({ code, stdout, stderr }) => ({ code, stdout, stderr }),
  )

describe('linnet profile', { timeout: 120_000 }, () => {
  it('detect tells what the machine is, what each provider says, and why one is proposed', async () => {
    const { code, stdout } = await run('detect', '--json')
    const told = JSON.parse(stdout)
    expect(code).toBe(told.proposed === null ? 2 : 0)
    expect(told.machine).toMatchObject({ architecture: process.arch, platform: process.platform })
    expect(told.candidates).toHaveLength(10)
    expect(told.candidates[0].name).toBe(told.proposed ?? told.candidates[0].name)
    const [cpu, ...others] = told.providers
    expect(cpu).toEqual({ provider: 'cpu', available: true, reason: '' })
    for (const { available, reason } of others) expect(reason === '').toBe(available)
    // ONNX Runtime for Node has it on no system.
    expect(others.at(-1)).toMatchObject({ provider: 'webnn', available: false })
    expect(others.at(-1).reason).toMatch(/^not available: /)
  })

  it('list has a line for each, show has the sources', async () => {
    const { stdout: list } = await run('list')
    expect(list.trim().split('\n')).toHaveLength(11)
    const { stdout } = await run('show', 'raspberry-pi-5')
    expect(stdout).toContain('https://www.raspberrypi.com/products/raspberry-pi-5/')
    expect(JSON.parse((await run('show', 'intel-n100', '--json')).stdout).memoryMb).toBe(8_192)
  })

  it.each([
    [['show', 'toaster'], 2, 'There is no firmware profile toaster.'],
    [['guess'], 1, 'linnet profile --help'],
    [[], 1, 'linnet profile --help'],
    [['list', '--colour'], 1, 'linnet profile --help'],
  ])('%j ends with %i', async (args, code, words) => {
    const refused = await run(...args)
    expect(refused.code).toBe(code)
    expect(refused.stderr).toContain(words)
  })
})
