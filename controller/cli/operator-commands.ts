/** `linnet token`, `linnet login`, `linnet status`: who may operate, and how the fleet is. */
import { Command } from 'commander'
import type { TokenResource } from '../../shared/api/resources.ts'
import { ProblemError, unwrap } from '../../shared/kernel/result.ts'
import { ROLES, type Role, roleSchema } from '../../shared/model/role.ts'
import { fleetView } from '../../shared/view/fleet-view.ts'
import { textFacts, textTable } from '../../shared/view/text-table.ts'
import { ago } from '../../shared/view/words.ts'
import { type CommonOptions, openContext, withCommonOptions } from './context.ts'

export function operatorCommands(): Command[] {
  return [tokenCommands(), loginCommand(), statusCommand()]
}

function tokenCommands(): Command {
  const token = new Command('token')
  withCommonOptions(token.command('create <name>'))
    .description('makes a token and prints it, once')
    .requiredOption('--role <role>', `one of ${ROLES.join(', ')}`)
    .option('--expires-in <hours>', 'hours until it admits nobody', hours)
    .addHelpText(
      'after',
      `
Examples:
  linnet token create grafana --role viewer
  linnet token create ci --role publisher --expires-in 720
`,
    )
    .action(async (name: string, options: CommonOptions & { role: string; expiresIn?: number }) => {
      const context = openContext(options)
      const expiresInSeconds = options.expiresIn === undefined ? null : options.expiresIn * 3_600
      const body = { name, role: roleOf(options.role), expiresInSeconds }
      const made = unwrap(await context.client.call('tokenCreate', { body }))
      context.show(made, () => made.token)
    })
  withCommonOptions(token.command('list'))
    .description('tokens without their secrets')
    .action(async (options: CommonOptions) => {
      const context = openContext(options)
      const data = unwrap(await context.client.call('tokenList', {}))
      context.show(data, () => tokenTable(data.tokens))
    })
  withCommonOptions(token.command('revoke <name>'))
    .description('the token admits nobody from now on')
    .action(async (name: string, options: CommonOptions) => {
      const context = openContext(options)
      const done = unwrap(await context.client.call('tokenRevoke', { params: { name } }))
      context.show(done, () => `Revoked ${name}.`)
    })
  return token
}

function tokenTable(tokens: readonly TokenResource[]): string {
  const nowMs = Date.now()
  const rows = tokens.map((t) => [
    t.name,
    t.role,
    ago(t.createdAtMs, nowMs),
    t.expiresAtMs === null ? 'never' : new Date(t.expiresAtMs).toISOString(),
  ])
  return textTable({ columns: ['TOKEN', 'ROLE', 'CREATED', 'EXPIRES'], rows }, { empty: '' })
}

function roleOf(text: string): Role {
  const role = roleSchema.safeParse(text)
  if (role.success) return role.data
  throw new ProblemError({
    code: 'cli.usage',
    message: 'There is no such role.',
    expected: ROLES.join(', '),
    found: text,
  })
}

function hours(text: string): number {
  const value = Number(text)
  if (value > 0 && value <= 8_760) return Math.ceil(value)
  throw new ProblemError({
    code: 'cli.usage',
    message: 'Hours are a number up to 8760.',
    found: text,
  })
}

function loginCommand(): Command {
  return withCommonOptions(new Command('login'))
    .option('--role <role>', `one of ${ROLES.join(', ')}`, 'admin')
    .action(async (options: CommonOptions & { role: string }) => {
      const context = openContext(options)
      const body = { role: roleOf(options.role) }
      const link = unwrap(await context.client.call('loginLinkCreate', { body }))
      context.show(link, () => link.url)
    })
}

function statusCommand(): Command {
  return withCommonOptions(new Command('status')).action(async (options: CommonOptions) => {
    const context = openContext(options)
    const { client, terminal } = context
    const [health, { devices }, { rollouts }] = await Promise.all([
      client.call('health', {}).then(unwrap),
      client.call('deviceList', {}).then(unwrap),
      client.call('rolloutList', {}).then(unwrap),
    ])
    const view = fleetView({ health, devices, rollouts }, Date.now())
    context.show(view, () => {
      const { paint, widthMax } = terminal
      const attention = view.attention.map((a) => [a.status, a.subject, a.cli, a.sentence])
      const fit = { empty: '', paint, ...(widthMax === undefined ? {} : { widthMax }) }
      const columns = ['WAITS', 'FOR', 'COMMAND', 'BECAUSE']
      return [
        view.headline,
        attention.length === 0 ? '' : `${textTable({ columns, rows: attention }, fit)}\n`,
        textFacts(
          [
            ...view.devicesByState.map((g) => [`${g.devices} devices`, g.status] as const),
            ...view.releasesInUse.map((r) => [`${r.devices} devices`, r.release] as const),
            ...view.health,
          ],
          paint,
        ),
      ].join('\n')
    })
  })
}
