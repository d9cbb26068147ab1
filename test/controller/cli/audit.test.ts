/** The audit trail of a real controller, and what somebody with its database file can hide. */
import { cp, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createClient } from '@libsql/client'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  type ControllerProgram,
  removeFolder,
  scratchFolder,
  startController,
} from '../../fixtures/controller-program.ts'

let controller: ControllerProgram
let home: string
/** The home folder as it was when the controller had stopped cleanly. */
let kept: string
beforeAll(async () => {
  home = await scratchFolder('audit')
  kept = await scratchFolder('audit-kept')
  controller = await startController(home)
  expect((await controller.linnet(['key', 'new'])).code).toBe(0)
  await controller.linnet(['token', 'create', 'grafana', '--role', 'viewer'])
  await controller.linnet(['device', 'token'])
  await controller.linnet(['token', 'list', '--token', 'lnt_guess'])
  await fetch(`${controller.url}/login?code=${'x'.repeat(32)}`)
  await fetch(controller.loginUrl, { redirect: 'manual' })
  await restart()
  expect((await controller.linnet(['audit', 'verify'])).code).toBe(0)
  await controller.stop()
  await cp(home, kept, { recursive: true })
  controller = await startController(home)
}, 60_000)
afterAll(async () => {
  await controller.stop()
  await removeFolder(home)
  await removeFolder(kept)
})

async function restart(): Promise<void> {
  await controller.stop()
  controller = await startController(home)
}

async function editRows(...statements: string[]): Promise<void> {
  await controller.stop()
  await rm(home, { recursive: true })
  await cp(kept, home, { recursive: true })
  const client = createClient({ url: `file:${join(home, 'linnet.db')}` })
  for (const statement of statements) await client.execute(statement)
  client.close()
  controller = await startController(home)
}

test('holds logins, tokens, enrolment tokens, publishing, and what was refused', async () => {
  const { stdout } = await controller.linnet(['audit', 'list', '--json'])
  const entries: { actor: string; action: string; resource: string; outcome: string }[] =
    JSON.parse(stdout).entries
  const lines = entries.map((e) =>
    [e.actor, e.action, e.resource.slice(0, 16), e.outcome].join(' '),
  )
  for (const line of [
    'local-admin publish root done',
    'local-admin create token/grafana done',
    'local-admin create enrolment-token/ done',
    'unknown tokenList http auth.unknown',
    'unknown login console auth.login_code',
    'local-admin login console done',
  ]) {
    expect(lines.some((found) => found.startsWith(line.trim()) || found === line)).toBe(true)
  }
})

describe('verify', () => {
  test('finds a whole trail whole, from the controller and from an export', async () => {
    const online = await controller.linnet(['audit', 'verify', '--json'])
    expect([online.code, online.stderr]).toEqual([0, ''])
    expect(JSON.parse(online.stdout)).toMatchObject({ unsigned: 0 })
    const file = join(home, 'audit.jsonl')
    await writeFile(file, (await controller.linnet(['audit', 'list', '--all'])).stdout)
    expect((await controller.linnet(['audit', 'verify', '--file', file])).code).toBe(0)
    const lines = (await readFile(file, 'utf8')).trim().split('\n')
    await writeFile(file, [lines[0], lines[2], lines[1], ...lines.slice(3)].join('\n'))
    const swapped = await controller.linnet(['audit', 'verify', '--file', file])
    expect([swapped.code, swapped.stderr]).toEqual([2, expect.stringContaining('[audit.broken]')])
  })
  test.each([
    ['a changed row', 'audit.broken', ["UPDATE audit SET actor = 'nobody' WHERE id = 2"]],
    ['a removed row', 'audit.broken', ['DELETE FROM audit WHERE id = 2']],
    [
      'two rows that changed places',
      'audit.broken',
      ['UPDATE audit SET id = 100 WHERE id = 2', 'UPDATE audit SET id = 2 WHERE id = 3'],
    ],
    ['a tail cut off', 'audit.truncated', ['DELETE FROM audit WHERE id > 3']],
    [
      'a tail cut off together with the head',
      'audit.truncated',
      ['DELETE FROM audit WHERE id > 3', "DELETE FROM fleet WHERE key = 'audit.head'"],
    ],
  ])('finds %s: %s', async (_, code, statements) => {
    await editRows(...statements)
    const { code: exit, stderr } = await controller.linnet(['audit', 'verify'])
    expect([exit, stderr]).toEqual([2, expect.stringContaining(`[${code}]`)])
  })
  test('finds a head that somebody else signed', async () => {
    const forged = `UPDATE fleet SET value = replace(value, '"sig":"', '"sig":"00') WHERE key = 'audit.head'`
    await editRows(forged)
    const { stderr } = await controller.linnet(['audit', 'verify'])
    expect(stderr).toContain('[audit.head_signature]')
  })
})
