/**
 * Every verb of the command line with every role's token: it is refused for its role exactly where the
 * access matrix refuses what it calls. A verb that is missing here fails the test.
 */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Command } from 'commander'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { auditCommands } from '../../../controller/cli/audit-commands.ts'
import { deviceCommands } from '../../../controller/cli/device-commands.ts'
import { keyCommands } from '../../../controller/cli/key-commands.ts'
import { operatorCommands } from '../../../controller/cli/operator-commands.ts'
import { releaseCommands } from '../../../controller/cli/release-commands.ts'
import { rolloutCommands } from '../../../controller/cli/rollout-commands.ts'
import { type HttpServer, startHttpServer } from '../../../controller/http/server.ts'
import type { EndpointId } from '../../../shared/api/endpoints.ts'
import { toProblem, unwrap } from '../../../shared/kernel/result.ts'
import { ROLES, type Role } from '../../../shared/model/role.ts'
import type { RolloutCommand } from '../../../shared/rollout/state.ts'
import { signRole, targetsMetadata } from '../../../shared/signing/tuf/publish.ts'
import { MAY_CALL, MAY_COMMAND } from '../../fixtures/access-table.ts'
import { buildHttp, type HttpFixture } from '../../fixtures/http-builder.ts'
import { buildRoot, publisher } from '../../fixtures/release-builders.ts'
import { rolloutResource } from '../../fixtures/resource-builders.ts'

/** What each verb asks of the controller. */
const VERBS: Readonly<Record<string, readonly EndpointId[]>> = {
  'audit list': ['audit'],
  'device list': ['deviceList'],
  'device show press-1': ['deviceShow'],
  'device token': ['session', 'enrolmentTokenCreate'],
  'device tokens': ['enrolmentTokenList'],
  'device revoke-token abc': ['enrolmentTokenRevoke'],
  'device approve press-1': ['deviceApprove'],
  'device revoke press-1 --yes': ['deviceRevoke'],
  'key new': ['onlineKeys', 'rootPut'],
  'release list': ['releaseList'],
  'release show motor@1.0.0': ['releaseShow'],
  'release publish': ['targetsPut'],
  'rollout list': ['rolloutList'],
  'rollout show r-0': ['rolloutShow'],
  'rollout why r-0': ['rolloutShow', 'rolloutDecisions'],
  'rollout create --model motor --to 1.1.0 --yes': ['deviceList', 'rolloutCreate'],
  'token create robot --role viewer': ['tokenCreate'],
  'token list': ['tokenList'],
  'token revoke robot': ['tokenRevoke'],
  login: ['loginLinkCreate'],
  status: ['health', 'deviceList', 'rolloutList'],
}

/** These work on files and keys first, and ask for nothing beyond what the verbs above ask for. */
const LOCAL = [
  'audit verify',
  'key show',
  'key publisher',
  'key rotate',
  'key delegate',
  'key undelegate',
  'release create',
  'release sign',
  'release cosign',
  'release promote',
  'release revoke',
]

const commandVerbs = (Object.keys(MAY_COMMAND) as RolloutCommand[]).map((name) => `rollout ${name}`)

let fixture: HttpFixture
let server: HttpServer
beforeAll(async () => {
  fixture = await buildHttp()
  server = await startHttpServer(fixture.http.hono, { host: '127.0.0.1', port: 0 })
  vi.stubEnv('LINNET_PASSPHRASE', 'correct horse battery')
  vi.spyOn(process.stdout, 'write').mockReturnValue(true)
  vi.spyOn(process.stderr, 'write').mockReturnValue(true)
  await mkdir(join(fixture.home, 'publisher'), { recursive: true })
  await writeFile(join(fixture.home, 'publisher/root.json'), buildRoot())
  const nothing = targetsMetadata({ version: 1, expiresMs: 4_000_000_000_000, targets: [] })
  const { bytes } = unwrap(signRole('targets', nothing, [publisher]))
  await writeFile(join(fixture.home, 'publisher/targets.json'), bytes)
})
afterAll(async () => {
  vi.restoreAllMocks()
  vi.unstubAllEnvs()
  fixture.http.close()
  await server.close()
  await fixture.remove()
})

function program(): Command {
  const root = new Command('linnet').exitOverride()
  const groups = [keyCommands(), releaseCommands(), rolloutCommands(), deviceCommands()]
  for (const group of [...groups, auditCommands(), ...operatorCommands()]) root.addCommand(group)
  return root
}

/** `done`, or the code of the refusal. */
async function outcome(verb: string, role: Role): Promise<string> {
  fixture.application.rollouts.set('r-0', rolloutResource({ id: 'r-0' }))
  const where = ['--controller', `http://127.0.0.1:${server.port}`, '--home', fixture.home]
  const args = [...verb.split(' '), ...where, '--token', fixture.tokens[role], '--json']
  try {
    await program().parseAsync(args, { from: 'user' })
    return 'done'
  } catch (cause) {
    return toProblem(cause, 'cli.failed').code
  }
}

describe.each(Object.entries(VERBS))('linnet %s', (verb, endpoints) => {
  test.each(ROLES)('as %s', async (role) => {
    const may = endpoints.every((id) => MAY_CALL[id].includes(role))
    const found = await outcome(verb, role)
    if (may) expect(found).not.toMatch(/^(auth|cli)\./)
    else expect(found).toBe('auth.role')
  })
})

describe.each(commandVerbs)('linnet %s', (verb) => {
  const command = verb.split(' ')[1] as RolloutCommand
  test.each(ROLES)('as %s', async (role) => {
    const found = await outcome(`${verb} r-0 --yes`, role)
    expect(found).toBe(MAY_COMMAND[command].includes(role) ? 'done' : 'auth.role')
  })
})

test('no verb is missing', () => {
  const leaves = (command: Command, path: string): string[] =>
    command.commands.length === 0
      ? [path.trim()]
      : command.commands.flatMap((child) => leaves(child, `${path} ${child.name()}`))
  const known = [...Object.keys(VERBS), ...LOCAL, ...commandVerbs].map((verb) =>
    verb.split(' ').slice(0, 2).join(' '),
  )
  expect(leaves(program(), '').filter((verb) => !known.includes(verb))).toEqual([])
})
