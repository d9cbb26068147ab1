/**
 * An agent of a fleet whose control process is stopped, or whose system gives it little: what serves
 * goes on serving, and what happened is told.
 */
import { spawn } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { buildMotorFleet, MODEL, type MotorFleet } from './motor-fleet.ts'
import { hostBelow } from './programs.ts'
import { until } from './stage.ts'

const LINNET = new URL('../../dist/controller/cli/main.js', import.meta.url).pathname
const isLinux = process.platform === 'linux'

describe.runIf(isLinux)('an agent that the system holds up (Linux)', () => {
  let fleet: MotorFleet

  beforeAll(async () => {
    fleet = await buildMotorFleet(
      { press: 'raspberry-pi-5' },
      { seed: 'limits', requestsPerSecond: 20 },
    )
  }, 240_000)
  afterAll(() => fleet?.end(), 60_000)

  /** @returns what the applications got meanwhile. */
  async function during(act: () => Promise<void>) {
    const before = fleet.traffic.total()
    await act()
    const after = fleet.traffic.total()
    return { answered: after.answered - before.answered, failed: after.failed - before.failed }
  }

  test('the control process stands still for a while: its host answers, and it goes on where it was', async () => {
    const { pid } = fleet.program('press')
    const { answered, failed } = await during(async () => {
      const { answered: before } = fleet.traffic.total()
      process.kill(pid, 'SIGSTOP')
      await sleep(8_000)
      await until('80 answers', async () => fleet.traffic.total().answered > before + 80)
      process.kill(pid, 'SIGCONT')
      const seenMs = (await fleet.device('press')).lastSeenMs ?? 0
      await until('heard of again', async () => {
        const { lastSeenMs, presence } = await fleet.device('press')
        return (lastSeenMs ?? 0) > seenMs && presence?.status === 'online'
      })
    })
    expect(failed).toBe(0)
    expect(answered).toBeGreaterThan(80)
    const { notices, report } = await fleet.device('press')
    expect(notices.filter(({ kind }) => kind === 'host_restarted')).toEqual([])
    expect(report?.slots[0]?.version).toBe('1.0.0')
  }, 180_000)

  test('under a limit on addresses it starts, serves what it had, and replaces a host that died', async () => {
    await fleet.program('press').kill('SIGTERM')
    const { home, device, profile, api } = fleet.devices[0]!
    const flags = ['--controller', fleet.url, '--home', home, '--device', device]
    flags.push('--profile', profile, '--listen', api.slice('http://'.length))
    const command = 'ulimit -v 3000000; exec "$0" "$@"'
    const args = ['-c', command, process.execPath, LINNET, 'agent', ...flags]
    const child = spawn('bash', args, { stdio: ['ignore', 'pipe', 'pipe'] })
    let said = ''
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (said += chunk))
    try {
      const isReady = async () => said.includes('linnet agent ready')
      await until('ready', isReady, 60_000, () => said)
      const ready = () =>
        fetch(`${api}/v2/models/${MODEL}/ready`).then(({ status }) => status === 200)
      await until('the model ready', ready, 60_000, () => said)
      process.kill(hostBelow(child.pid ?? 0), 'SIGKILL')
      const killed = async () =>
        (await fleet.device('press')).notices.find(({ kind }) => kind === 'host_restarted')
      expect((await until('the death told', killed, 60_000, () => said)).problem.code).toBe(
        'host.killed',
      )
      await until('the model ready again', ready, 60_000, () => said)
    } finally {
      child.kill('SIGTERM')
      await new Promise((resolve) => child.once('exit', resolve))
    }
  }, 300_000)
})
