/** `linnet rollout`: create, look, decide. */
import { Command } from 'commander'
import type { DecisionResource, RolloutResource } from '../../shared/api/resources.ts'
import { unwrap } from '../../shared/kernel/result.ts'
import type { RolloutCommand } from '../../shared/rollout/state.ts'
import {
  decisionTable,
  metricTable,
  rolloutDetail,
  rolloutTable,
  waveTable,
} from '../../shared/view/rollout-view.ts'
import { textFacts } from '../../shared/view/text-table.ts'
import { confirm } from './confirm.ts'
import { type CommonOptions, type Context, openContext, withCommonOptions } from './context.ts'
import { fitted, whole } from './device-commands.ts'
import { type CreateOptions, createRollout } from './rollout-create.ts'
import { followRollout, type WaitOptions } from './rollout-wait.ts'
import { watch } from './watch.ts'

const NO_ROLLOUTS = `No rollouts. One starts with:
  linnet rollout create --model MODEL --to VERSION --start`

export function rolloutCommands(): Command {
  const rollout = new Command('rollout')
  addCreate(rollout)
  addLook(rollout)
  for (const [command, text] of Object.entries(DECISIONS)) {
    addDecision(rollout, command as RolloutCommand, text)
  }
  return rollout
}

const DECISIONS: Readonly<Record<RolloutCommand, string>> = {
  start: 'begins the first wave',
  approve: 'one approval of those it asks for',
  deny: 'refuses approval; the rollout ends',
  pause: 'nothing advances; devices keep what they have',
  resume: 'goes on after a pause',
  promote: 'the next wave now, or everything with --full',
  abort: 'stops here; devices go back to the baseline',
  rollback: 'back to the baseline, after a promotion too',
}

function waiting(command: Command): Command {
  return command
    .option('--wait', 'until it is over; the exit code says how it ended')
    .option('--timeout <seconds>', 'longest wait; then 4, and the rollout goes on', whole, 1_800)
}

function addCreate(rollout: Command): void {
  waiting(withCommonOptions(rollout.command('create')))
    .description('checks and creates a rollout; prints its plan in numbers first')
    .option('--model <model>', 'which model')
    .option('--to <version>', 'candidate release')
    .option('--from <version>', 'baseline release; what devices run, if not given')
    .option('--preset <name>', 'canary, shadow-first, blue-green or all-at-once', 'canary')
    .option('--staging', 'only devices that were enrolled for staging')
    .option('--file <file>', 'a whole specification in YAML or JSON')
    .option('--start', 'start it at once')
    .option('--yes', 'ask nothing')
    .addHelpText(
      'after',
      `
Examples:
  linnet rollout create --model motor-vibration --to 1.1.0 --start --wait
  linnet rollout create --model motor-vibration --to 1.1.0 --preset blue-green
  linnet rollout create --file rollout.yaml --start --yes --json
`,
    )
    .action((options: CreateOptions) => createRollout(openContext(options), options))
}

function addLook(rollout: Command): void {
  withCommonOptions(rollout.command('list'))
    .description('one line each, what waits for you first')
    .option('--model <model>', 'of one model')
    .option('--watch', 'repaint on every change')
    .addHelpText('after', '\nExamples:\n  linnet rollout list\n  linnet rollout list --watch\n')
    .action(async (options: CommonOptions & { model?: string; watch?: boolean }) => {
      const context = openContext(options)
      const query = options.model === undefined ? {} : { model: options.model }
      const load = async () => unwrap(await context.client.call('rolloutList', { query }))
      const text = ({ rollouts }: { rollouts: RolloutResource[] }) =>
        fitted(context, rolloutTable(rollouts, Date.now()), NO_ROLLOUTS)
      if (options.watch) await watch(context, load, text)
      else context.show(await load(), text)
    })
  withCommonOptions(rollout.command('show <rollout>'))
    .description('waves, metrics against limits, devices, failures, what you can do')
    .option('--watch', 'repaint until it is over')
    .addHelpText('after', '\nExamples:\n  linnet rollout show r-7f3a --watch\n')
    .action(async (id: string, options: CommonOptions & { watch?: boolean }) => {
      const context = openContext(options)
      const load = async () => unwrap(await context.client.call('rolloutShow', { params: { id } }))
      const text = (resource: RolloutResource) => rolloutText(context, resource)
      const until = (resource: RolloutResource) => resource.endedAtMs !== null
      if (options.watch) await watch(context, load, text, { until })
      else context.show(await load(), text)
    })
  withCommonOptions(rollout.command('why <rollout>'))
    .description('one sentence, the numbers behind it, and every decision so far')
    .addHelpText('after', '\nExamples:\n  linnet rollout why r-7f3a\n')
    .action(async (id: string, options: CommonOptions) => {
      const context = openContext(options)
      const params = { id }
      const [resource, { decisions }] = await Promise.all([
        context.client.call('rolloutShow', { params }).then(unwrap),
        context.client.call('rolloutDecisions', { params }).then(unwrap),
      ])
      const { reason, verdict, state } = resource
      const data = { id, state, reason, verdict, decisions }
      context.show(data, () => whyText(context, resource, decisions))
    })
}

interface DecisionOptions extends CommonOptions, WaitOptions {
  readonly full?: boolean
  readonly note: string
  readonly yes?: boolean
}

function addDecision(rollout: Command, command: RolloutCommand, text: string): void {
  const built = waiting(withCommonOptions(rollout.command(`${command} <rollout>`)))
    .description(text)
    .option('--note <text>', 'why, kept with the decision', '')
    .option('--yes', 'ask nothing')
  if (command === 'promote') built.option('--full', 'skip the waves that are left')
  built.addHelpText('after', `\nExamples:\n  linnet rollout ${command} r-7f3a\n`)
  built.action(async (id: string, options: DecisionOptions) => {
    const context = openContext(options)
    const params = { id }
    const before = unwrap(await context.client.call('rolloutShow', { params }))
    const { line, actions } = rolloutDetail(before, Date.now())
    const effect = actions.find((action) => action.command === command)?.effect
    const loud = ['promote', 'abort', 'rollback'].includes(command)
    if (loud && effect) {
      await confirm(context, `${line.model} ${line.change}: ${effect}.`, options.yes ?? false)
    }
    const body = { command, full: options.full ?? false, note: options.note }
    const after = unwrap(await context.client.call('rolloutCommand', { params, body }))
    if (options.wait) await followRollout(context, after, options, command)
    else context.show(after, () => `${after.id} is ${stateText(after)}`)
  })
}

function stateText(rollout: RolloutResource): string {
  return `${rollout.state.replaceAll('_', ' ')}: ${rollout.reason.sentence}`
}

function rolloutText(context: Context, rollout: RolloutResource): string {
  const detail = rolloutDetail(rollout, Date.now())
  const { line } = detail
  const { paint } = context.terminal
  const strip = detail.strip.map(({ device, status }) => [device, status])
  return [
    textFacts(
      [
        ['rollout', line.id],
        ['release', `${line.model} ${line.change}`],
        ['state', line.status],
        ['because', detail.sentence],
        ['next', detail.next],
        ...(line.progress === '-'
          ? []
          : [['devices', `${line.progress} of the wave serve it`] as const]),
      ],
      paint,
    ),
    '',
    fitted(context, waveTable(detail.waves), ''),
    ...(detail.metrics.length === 0 ? [] : ['', fitted(context, metricTable(detail.metrics), '')]),
    ...(strip.length === 0
      ? []
      : ['', fitted(context, { columns: ['DEVICE', 'STATE'], rows: strip }, '')]),
    ...detail.failures.map((f) => `${f.code}: ${f.devices.join(', ')}`),
    ...(detail.actions.length === 0 ? [] : ['', 'You can:']),
    ...detail.actions.map((a) => `  ${a.cli}${a.effect === '' ? '' : `   (${a.effect})`}`),
  ].join('\n')
}

function whyText(
  context: Context,
  rollout: RolloutResource,
  decisions: readonly DecisionResource[],
): string {
  const detail = rolloutDetail(rollout, Date.now())
  return [
    `${detail.line.model} ${detail.line.change} is ${detail.line.status.word}: ${detail.sentence}`,
    detail.next,
    ...(detail.metrics.length === 0 ? [] : ['', fitted(context, metricTable(detail.metrics), '')]),
    '',
    fitted(context, decisionTable(decisions, Date.now()), 'Nothing was decided yet.'),
  ].join('\n')
}
