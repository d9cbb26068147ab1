/**
 * A device whose disk is full, or takes no writes at all: it goes on serving, says so, takes no harm,
 * and catches up when it can write again. Its home is a small file system of its own, which takes root on Linux; skipped with
 * the reason where that is missing.
 */
import { execFileSync } from 'node:child_process'
import { closeSync, openSync, rmSync, writeSync } from 'node:fs'
import { cp, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { buildMotorFleet, MODEL, type MotorFleet, POLICY } from './motor-fleet.ts'
import { until } from './stage.ts'
import { motorAsk } from './traffic.ts'

const mount = (...args: string[]): void => void execFileSync('mount', args, { stdio: 'ignore' })
const unmount = (folder: string): void =>
  void execFileSync('umount', ['--lazy', folder], { stdio: 'ignore' })

async function canMount(): Promise<boolean> {
  const folder = await mkdtemp(join(tmpdir(), 'linnet-mount-'))
  try {
    mount('-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', folder)
    unmount(folder)
    return true
  } catch {
    return false
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** @returns false once the file system is full. */
function hasRoom(file: number, size: number): boolean {
  try {
    return writeSync(file, Buffer.alloc(size)) === size
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOSPC') return false
    throw cause
  }
}

const isPossible = await canMount()
const reason = isPossible ? '' : ' (skipped: mounting a small file system takes root)'

describe.runIf(isPossible)(`a full disk${reason}`, () => {
  let fleet: MotorFleet
  let home: string

  beforeAll(async () => {
    fleet = await buildMotorFleet(
      { press: 'raspberry-pi-5' },
      { seed: 'disk', requestsPerSecond: 20 },
    )
    home = fleet.devices[0]!.home
    await fleet.program('press').kill('SIGTERM')
    const aside = `${home}.aside`
    await cp(home, aside, { recursive: true })
    mount('-t', 'tmpfs', '-o', 'size=8m,mode=700', 'tmpfs', home)
    await cp(aside, home, { recursive: true })
    await fleet.startAgent('press')
  }, 240_000)

  afterAll(async () => {
    await fleet?.traffic.stop()
    await fleet?.program('press').kill('SIGKILL')
    if (home !== undefined) unmount(home)
    await fleet?.end()
  }, 60_000)

  function isRemounted(how: 'ro' | 'rw'): boolean {
    try {
      mount('-o', `remount,${how}`, home)
      return true
    } catch {
      return false
    }
  }

  const filler = () => join(home, 'filler')

  function fill(): void {
    const file = openSync(filler(), 'w')
    for (const size of [65_536, 4_096, 1]) while (hasRoom(file, size));
    closeSync(file)
  }

  test('serving goes on, and the controller hears why nothing else does', async () => {
    fill()
    const before = fleet.traffic.total()
    await fleet.publishMotor('1.1.0')
    await fleet.startRollout({
      ...{ model: MODEL, candidate: '1.1.0', baseline: '1.0.0', policy: POLICY },
      waves: [{ percent: 100, trafficPercent: 50 }],
    })
    const notice = await until(
      'a notice of the full disk',
      async () => (await fleet.device('press')).notices.find(({ kind }) => kind === 'disk_failed'),
      60_000,
      () => fleet.program('press').lines.slice(-10),
    )
    expect(notice.problem).toMatchObject({
      code: 'disk.full',
      next: expect.stringContaining("make room in the agent's home"),
    })
    expect((await fleet.device('press')).presence?.status).toBe('online')
    const enough = (): boolean => fleet.traffic.total().answered > before.answered + 60
    await until('answers on a full disk', async () => enough())
    const { failed } = fleet.traffic.total()
    expect(failed).toBe(before.failed)
    expect(await readFile(join(home, 'state.json'), 'utf8')).toContain('"1.0.0"')
  }, 120_000)

  test('when there is room again the device takes the release, and no count was lost', async () => {
    rmSync(filler())
    await until(
      'the candidate serves beside the baseline',
      async () => {
        const { report } = await fleet.device('press')
        return report?.slots.some(({ slot, version }) => slot !== 'previous' && version === '1.1.0')
      },
      60_000,
      () => fleet.program('press').lines.slice(-10),
    )
    expect(fleet.program('press').lines.join('\n')).toContain('the disk takes writes again')
    await fleet.everywhere('1.1.0')
    await fleet.traffic.stop()
    const { answered } = fleet.traffic.total()
    const stored = async () =>
      (await fleet.stored(MODEL)).reduce((sum, { requests }) => sum + requests, 0)
    await until(
      'all counts stored',
      async () => (await stored()) >= answered,
      60_000,
      async () => ({ stored: await stored(), answered }),
    )
  }, 180_000)

  test('an agent that is killed and starts on a full disk serves what it had', async () => {
    fill()
    await fleet.program('press').kill('SIGKILL')
    await fleet.startAgent('press')
    const answer = await fetch(`${fleet.devices[0]!.api}/v2/models/${MODEL}/ready`)
    expect(answer.status).toBe(200)
  }, 90_000)

  test('an agent that starts on a read-only home serves what it had, and tells why not more', async () => {
    rmSync(filler(), { force: true })
    await fleet.program('press').kill('SIGKILL')
    // The model host still ends, and has files open until then.
    await until('the home is read-only', async () => isRemounted('ro'))
    const agent = await fleet.startAgent('press')
    const ask = motorAsk('read-only')
    const notice = await until(
      'a notice of the read-only disk',
      async () => {
        // What it counts of these is what it has to write down.
        const url = `${fleet.devices[0]!.api}/v2/models/${MODEL}/infer`
        const answer = await fetch(url, { method: 'POST', ...ask('press') } as RequestInit)
        expect(answer.status).toBe(200)
        const { notices } = await fleet.device('press')
        return notices.find(({ problem }) => problem?.code === 'disk.read_only')
      },
      60_000,
      () => agent.lines.slice(-10),
    )
    expect(notice).toMatchObject({
      kind: 'disk_failed',
      problem: { next: expect.stringContaining("mount the agent's home for writing") },
    })
    expect(agent.lines.join('\n')).not.toMatch(/host\.(crashed|killed|hung)/)
    expect(isRemounted('rw')).toBe(true)
    await until('writes again', async () =>
      agent.lines.some((line) => line.includes('the disk takes writes again')),
    )
  }, 120_000)
})
