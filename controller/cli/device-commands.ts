/** `linnet device`: the devices of the fleet, and tokens that admit new ones. */
import { Command } from 'commander'
import type { DeviceResource, EnrolmentTokenResource } from '../../shared/api/resources.ts'
import { ProblemError, unwrap } from '../../shared/kernel/result.ts'
import { sha256Schema } from '../../shared/model/names.ts'
import { deviceDetail, deviceTable, slotTable } from '../../shared/view/device-view.ts'
import { type Table, textFacts, textTable } from '../../shared/view/text-table.ts'
import { ago } from '../../shared/view/words.ts'
import { confirm } from './confirm.ts'
import { type CommonOptions, type Context, openContext, withCommonOptions } from './context.ts'
import { createEnrolmentToken } from './enrolment-token.ts'
import { watch } from './watch.ts'

const NO_DEVICES = `No devices yet. A device joins with:
  linnet device token
  LINNET_ENROLMENT_TOKEN=TOKEN linnet agent --controller URL --profile PROFILE`

export function deviceCommands(): Command {
  const device = new Command('device')
  withCommonOptions(device.command('list'))
    .description('one line each, worst first')
    .option('--watch', 'repaint on every change')
    .addHelpText(
      'after',
      `
Examples:
  linnet device list
  linnet device list --json | jq '.devices[] | select(.converged | not) | .device'
`,
    )
    .action(async (options: CommonOptions & { watch?: boolean }) => {
      const context = openContext(options)
      const load = async () => unwrap(await context.client.call('deviceList', {}))
      const text = ({ devices }: { devices: DeviceResource[] }) =>
        fitted(context, deviceTable(devices, Date.now()), NO_DEVICES)
      if (options.watch) await watch(context, load, text)
      else context.show(await load(), text)
    })
  withCommonOptions(device.command('show <device>'))
    .description('desired beside reported, provider choices, failures, notices')
    .option('--watch', 'repaint on every change')
    .addHelpText('after', '\nExamples:\n  linnet device show press-1\n')
    .action(async (name: string, options: CommonOptions & { watch?: boolean }) => {
      const context = openContext(options)
      const params = { device: name }
      const load = async () => unwrap(await context.client.call('deviceShow', { params }))
      const text = (resource: DeviceResource) => deviceText(context, resource)
      if (options.watch) await watch(context, load, text)
      else context.show(await load(), text)
    })
  withCommonOptions(device.command('token'))
    .description('a token that admits devices; shown once')
    .option('--uses <n>', 'devices that it admits', whole, 1)
    .option('--expires-in <seconds>', 'until it admits nobody', whole, 3_600)
    .option('--label <name=value...>', 'labels of the devices that it admits', [])
    .option('--staging', 'the devices also take releases that are not proven yet')
    .option('--root <sha256>', "the publishers' root, where it is not on this machine", rootDigest)
    .addHelpText(
      'after',
      `
Examples:
  linnet device token
  linnet device token --uses 50 --label site=hall-2
  linnet device token --staging
  linnet device token --root 6fd5...          the fingerprint that linnet key show prints
`,
    )
    .action(async (options: TokenOptions) => {
      const context = openContext(options)
      const labels = Object.fromEntries(options.label.map(labelOf))
      const { uses, expiresIn: expiresInSeconds, staging = false } = options
      const body = { uses, expiresInSeconds, labels, staging }
      const made = await createEnrolmentToken(context, body, options.root)
      context.show(made, () => made.token)
    })
  addMembership(device)
  return device
}

function addMembership(device: Command): void {
  withCommonOptions(device.command('tokens'))
    .description('tokens that still admit devices, without their secrets')
    .action(async (options: CommonOptions) => {
      const context = openContext(options)
      const data = unwrap(await context.client.call('enrolmentTokenList', {}))
      context.show(data, ({ tokens }) => fitted(context, tokenTable(tokens), 'No open tokens.'))
    })
  withCommonOptions(device.command('revoke-token <id>'))
    .description('the token admits nobody from now on')
    .action(async (id: string, options: CommonOptions) => {
      const context = openContext(options)
      const done = unwrap(await context.client.call('enrolmentTokenRevoke', { params: { id } }))
      context.show(done, () => `Revoked ${id}.`)
    })
  withCommonOptions(device.command('approve <device>'))
    .description('admits a device that waits for approval; compare its key first')
    .addHelpText('after', '\nExamples:\n  linnet device approve press-1\n')
    .action(async (name: string, options: CommonOptions) => {
      const context = openContext(options)
      const call = { params: { device: name }, body: {} }
      const done = unwrap(await context.client.call('deviceApprove', call))
      context.show(done, () => `${name} is a member of the fleet.`)
    })
  withCommonOptions(device.command('revoke <device>'))
    .description('puts a device out of the fleet for good')
    .option('--note <text>', 'why, kept in the audit trail', '')
    .option('--yes', 'ask nothing')
    .addHelpText(
      'after',
      `
Its connection is closed, its key is refused everywhere, and what it counted no longer decides any
rollout that is under way. What it serves locally goes on.

Examples:
  linnet device revoke press-1 --note "stolen on Friday" --yes
`,
    )
    .action(async (name: string, options: CommonOptions & { note: string; yes?: boolean }) => {
      const context = openContext(options)
      await confirm(context, `${name} leaves the fleet for good.`, options.yes ?? false)
      const call = { params: { device: name }, body: { note: options.note } }
      const done = unwrap(await context.client.call('deviceRevoke', call))
      context.show(done, () => `Revoked ${name}.`)
    })
}

function tokenTable(tokens: readonly EnrolmentTokenResource[]): Table {
  const nowMs = Date.now()
  const rows = tokens.map(({ id, usesLeft, expiresAtMs, labels, staging, ...made }) => [
    ...[id, String(usesLeft), new Date(expiresAtMs).toISOString()],
    [...(staging ? ['staging'] : []), ...Object.entries(labels).map((pair) => pair.join('='))].join(
      ' ',
    ),
    `${made.createdBy}, ${ago(made.createdAtMs, nowMs)}`,
  ])
  return { columns: ['TOKEN', 'USES LEFT', 'EXPIRES', 'LABELS', 'CREATED'], rows }
}

interface TokenOptions extends CommonOptions {
  readonly uses: number
  readonly expiresIn: number
  readonly label: readonly string[]
  readonly staging?: boolean
  readonly root?: string
}

function deviceText(context: Context, device: DeviceResource): string {
  const detail = deviceDetail(device, Date.now())
  const section = (title: string, table: Table): string[] =>
    table.rows.length === 0 ? [] : ['', title, fitted(context, table, '')]
  return [
    textFacts(
      [
        ['device', detail.line.device],
        ['state', detail.line.status],
        ...detail.facts,
        ...(detail.job === null ? [] : [['now', detail.job] as const]),
        ['labels', detail.line.labels],
      ],
      context.terminal.paint,
    ),
    ...section('Slots', slotTable(detail.slots)),
    ...section('Execution providers', detail.providers),
    ...section('Measured here', detail.figures),
    ...section('Settings that were compared', detail.trials),
    ...section('Failed here', detail.failures),
    ...section('Notices', detail.notices),
  ].join('\n')
}

/** A table that fits the terminal. */
export function fitted({ terminal }: Context, table: Table, empty: string): string {
  const { paint, widthMax } = terminal
  return textTable(table, { empty, paint, ...(widthMax === undefined ? {} : { widthMax }) })
}

function labelOf(text: string): [string, string] {
  const [, name, value] = /^([^=]+)=(.*)$/.exec(text) ?? []
  if (name !== undefined && value !== undefined) return [name, value]
  throw new ProblemError({
    code: 'cli.usage',
    message: 'A label has a name and a value.',
    expected: '--label site=hall-2',
    found: text,
  })
}

function rootDigest(text: string): string {
  const parsed = sha256Schema.safeParse(text)
  if (parsed.success) return parsed.data
  throw new ProblemError({
    code: 'cli.usage',
    message: 'This is no fingerprint of a root.',
    expected: '64 hexadecimal digits, as linnet key show prints them',
    found: text.slice(0, 80),
  })
}

/** A positive whole number from the command line. */
export function whole(text: string): number {
  const value = Number(text)
  if (Number.isSafeInteger(value) && value > 0) return value
  throw new ProblemError({
    code: 'cli.usage',
    message: 'This must be a positive whole number.',
    found: text,
  })
}
