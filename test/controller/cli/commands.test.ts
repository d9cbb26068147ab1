/**
 * The real command as a process: data on stdout, talk on stderr, exit codes that mean something.
 */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { CONTROLLER_VERSION } from '../../../controller/version.ts'
import { deviceResourceSchema, rolloutResourceSchema } from '../../../shared/api/resources.ts'
import { buildCli, type CliFixture } from '../../fixtures/cli-builder.ts'
import { rolloutResource } from '../../fixtures/resource-builders.ts'

let cli: CliFixture
beforeAll(async () => {
  cli = await buildCli()
})
afterAll(() => cli.remove())

test('says its version', async () => {
  const { code, stdout } = await cli.linnet(['--version'])
  expect([code, stdout.trim()]).toEqual([0, CONTROLLER_VERSION])
})

describe('exit codes', () => {
  test('0: done, the data are whole JSON on stdout and nothing else is', async () => {
    const { code, stdout, stderr } = await cli.linnet(['device', 'list', '--json'])
    expect([code, stderr]).toEqual([0, ''])
    expect(deviceResourceSchema.safeParse(JSON.parse(stdout).devices[0]).success).toBe(true)
  })
  test('1: a command or option that does not exist', async () => {
    expect((await cli.linnet(['rollout', 'frob'])).code).toBe(1)
    const { code, stdout, stderr } = await cli.linnet(['device', 'list', '--frob'])
    expect([code, stdout]).toEqual([1, ''])
    expect(stderr).toContain("unknown option '--frob'")
  })
  test('1: an argument that cannot be meant', async () => {
    const { code, stderr } = await cli.linnet(['release', 'show', 'motor'])
    expect(code).toBe(1)
    expect(stderr).toContain('MODEL@MAJOR.MINOR.PATCH')
  })
  test('2: refused, with code, expected or found, and the next command', async () => {
    const { code, stdout, stderr } = await cli.linnet(['device', 'show', 'nobody'])
    expect([code, stdout]).toEqual([2, ''])
    expect(stderr).toContain('[device.not_found]')
  })
  test('2: with --json the problem is JSON on stderr', async () => {
    const { code, stderr } = await cli.linnet(['device', 'show', 'nobody', '--json'])
    expect(code).toBe(2)
    expect(JSON.parse(stderr)).toMatchObject({ error: { code: 'device.not_found' } })
  })
  test.each(['device revoke press-1', 'rollout create --model motor --to 1.1.0'])(
    '2: nobody was asked, and nothing was done: linnet %s',
    async (verb) => {
      const count = cli.application.rollouts.size
      for (const json of [[], ['--json']]) {
        const { code, stdout, stderr } = await cli.linnet([...verb.split(' '), ...json])
        expect([code, stdout]).toEqual([2, ''])
        expect(stderr).toContain('cli.not_confirmed')
        expect(stderr).toContain('--yes')
      }
      expect(cli.application.rollouts.size).toBe(count)
    },
  )
  test('2: a token below the role that is needed', async () => {
    const args = ['device', 'token', '--root', 'ab'.repeat(32), '--token', cli.tokens.viewer]
    const { code, stderr } = await cli.linnet(args)
    expect(code).toBe(2)
    expect(stderr).toContain('[auth.role]')
  })
  test("2: a device's root of trust, where only the controller could tell it", async () => {
    const { code, stderr } = await cli.linnet(['device', 'token'])
    expect(code).toBe(2)
    expect(stderr).toContain('[trust.no_root]')
    expect(stderr).toContain('linnet device token --root')
  })
  test('4: not over within the time given', async () => {
    cli.application.rollouts.set('r-4', rolloutResource({ id: 'r-4', state: 'paused' }))
    const args = ['rollout', 'resume', 'r-4', '--wait', '--timeout', '1']
    const { code, stderr } = await cli.linnet(args)
    expect(code).toBe(4)
    expect(stderr).toContain('[cli.timeout]')
  })
  test('5: nobody answers', async () => {
    const { code, stderr } = await cli.linnet(['status'], {
      LINNET_CONTROLLER: 'http://127.0.0.1:9',
    })
    expect(code).toBe(5)
    expect(stderr).toContain('[controller.unreachable]')
    expect(stderr).toContain('next      linnet controller')
  })
})

describe('waiting', () => {
  test('3: it was rolled back, with the reason', async () => {
    const reason = { code: 'guardrail', sentence: '19 of 26 requests took over 10 ms.' }
    const ended = rolloutResource({ id: 'r-3', state: 'rolled_back', reason, endedAtMs: 1 })
    cli.application.rollouts.set('r-3', rolloutResource({ id: 'r-3', state: 'ready' }))
    const waiting = cli.linnet(['rollout', 'start', 'r-3', '--wait', '--timeout', '30'])
    while (!cli.application.calls.includes('start local-admin')) {
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
    cli.application.rollouts.set('r-3', ended)
    const { code, stdout } = await waiting
    expect(code).toBe(3)
    expect(stdout).toContain('r-3 rolled back: 19 of 26 requests took over 10 ms.')
  })
  test('0: a rollback that was asked for and done; one line for each change', async () => {
    const id = 'r-5'
    const ended = rolloutResource({ id, state: 'rolled_back', endedAtMs: 1 })
    cli.application.rollouts.set(id, ended)
    const { code, stderr } = await cli.linnet(['rollout', 'rollback', id, '--wait', '--yes'])
    expect(code).toBe(0)
    expect(stderr.trim().split('\n')).toHaveLength(1)
    expect(stderr).not.toContain('\u001b')
  })
})

describe('rollout create', () => {
  test('prints its plan in numbers before, and starts when told', async () => {
    const args = ['rollout', 'create', '--model', 'motor', '--to', '1.1.0', '--start', '--json']
    const { code, stdout, stderr } = await cli.linnet([...args, '--yes'])
    expect(code).toBe(0)
    expect(stderr).toContain('motor: 1.0.0 to 1.1.0 on 1 device of 1 profile.')
    const rollout = rolloutResourceSchema.parse(JSON.parse(stdout))
    expect(rollout.state).toBe('running')
    expect(rollout.spec.baseline).toBe('1.0.0')
    // The release's own promises are the limits where nobody said otherwise.
    expect(rollout.spec.policy.latencyBadShareMax).toBe(0.05)
    expect(rollout.spec.waves.map((wave) => wave.percent)).toEqual([1, 10, 50, 100])
  })
  test('takes YAML, and says which field is wrong', async () => {
    const file = join(cli.home, 'spec.yaml')
    await writeFile(file, 'model: motor\ncandidate: 1.1.0\nbaseline: null\npreset: blue-green\n')
    const good = await cli.linnet(['rollout', 'create', '--file', file, '--json', '--yes'])
    expect(good.code).toBe(0)
    expect(JSON.parse(good.stdout).spec.waves).toHaveLength(1)
    await writeFile(file, 'model: motor\ncandidate: 1.1.0\nbaseline: null\nwaves: 3\n')
    const bad = await cli.linnet(['rollout', 'create', '--file', file])
    expect(bad.code).toBe(2)
    expect(bad.stderr).toContain('rollout.specification')
    expect(bad.stderr).toContain('waves')
  })
})

test('tables are plain text without colour where there is no terminal', async () => {
  const { stdout } = await cli.linnet(['device', 'list'])
  expect(stdout.split('\n')[0]).toMatch(/^DEVICE +PROFILE +STATE +SEEN +LABELS +SERVES$/)
  expect(stdout).toContain('✓ serving')
  expect(stdout).not.toContain('\u001b')
})

test('every help has examples', async () => {
  const { code, stdout } = await cli.linnet(['rollout', 'create', '--help'])
  expect(code).toBe(0)
  expect(stdout).toContain('Examples:')
})
