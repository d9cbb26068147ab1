/** What a newcomer types first must work: the whole story, unattended. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { runLinnet } from './programs.ts'
import { freePorts } from './stage.ts'

const home = await mkdtemp(join(tmpdir(), 'linnet-e2e-'))
afterAll(() => rm(home, { recursive: true, force: true }))

test('linnet demo --once --json promotes 1.1.0, rolls 1.2.0 back and loses no request', async () => {
  const [http, mqtt] = await freePorts(2)
  const [local] = await freePorts(8)
  const flags = ['--home', home, '--http-port', `${http}`, '--mqtt-port', `${mqtt}`]
  flags.push('--first-local-port', `${local}`)
  const { code, stdout, stderr } = await runLinnet(['demo', '--once', '--json', ...flags], {})
  expect(code, stderr).toBe(0)
  const summary = JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? '')
  expect(summary).toMatchObject({
    promoted: {
      rollout: expect.any(String),
      release: 'motor-vibration@1.1.0',
      seconds: expect.any(Number),
    },
    rolledBack: {
      rollout: expect.any(String),
      release: 'motor-vibration@1.2.0',
      seconds: expect.any(Number),
    },
    devices: 8,
  })
  expect(summary.promoted.requests).toBeGreaterThan(0)
  expect(summary.rolledBack.badRequests).toBeGreaterThan(0)
  expect(summary.rolledBack.reason).not.toBe('')
  const { sent, answered, failed } = summary.requests
  expect(sent).toBeGreaterThan(0)
  expect({ answered, failed }).toEqual({ answered: sent, failed: 0 })
}, 400_000)
