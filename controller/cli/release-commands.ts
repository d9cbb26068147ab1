/** `linnet release`: from a model file to something that devices may be given. */
import { resolve } from 'node:path'
import { Command, Option } from 'commander'
import { unwrap } from '../../shared/kernel/result.ts'
import { releaseDetail, releaseTable } from '../../shared/view/release-view.ts'
import { textFacts } from '../../shared/view/text-table.ts'
import { type CommonOptions, type Context, openContext, withCommonOptions } from './context.ts'
import { fitted, whole } from './device-commands.ts'
import { parseReleaseName, publisherFolder } from './publisher-folder.ts'
import { cosignTargets } from './release-cosign.ts'
import { createRelease } from './release-create.ts'
import { promoteRelease } from './release-promote.ts'
import { publishRelease } from './release-publish.ts'
import { revokeRelease } from './release-revoke.ts'
import { renewTargets, signRelease } from './release-sign.ts'
import type { ReleaseFlags } from './release-spec.ts'

const NO_RELEASES = `No releases. One is made with:
  linnet release create --model FILE.onnx --name NAME --version 1.0.0`

export function releaseCommands(): Command {
  const release = new Command('release')
  addCreate(release)
  addSign(release)
  withCommonOptions(release.command('list'))
    .description('published releases')
    .argument('[model]', 'of one model')
    .addHelpText(
      'after',
      '\nExamples:\n  linnet release list\n  linnet release list motor --json\n',
    )
    .action(async (model: string | undefined, options: CommonOptions) => {
      const context = openContext(options)
      const query = model === undefined ? {} : { model }
      const data = unwrap(await context.client.call('releaseList', { query }))
      context.show(data, ({ releases }) =>
        fitted(context, releaseTable(releases, Date.now()), NO_RELEASES),
      )
    })
  withCommonOptions(release.command('show <release>'))
    .description('tensors, variants, service levels, signatures')
    .addHelpText('after', '\nExamples:\n  linnet release show motor-vibration@1.1.0\n')
    .action((name: string, options: CommonOptions) => showRelease(openContext(options), name))
  return release
}

interface KeysOption extends CommonOptions {
  readonly keys?: string
}

function addCreate(release: Command): void {
  const variant = (text: string, before: readonly string[]) => [...before, text]
  withCommonOptions(release.command('create'))
    .description('reads the model, proves that it is one, and writes the release folder')
    .option('--model <file>', 'the ONNX file')
    .option('--name <model>', 'name of the model')
    .option('--version <version>', 'MAJOR.MINOR.PATCH')
    .option('--variant <name=file:profiles>', 'a further variant; may be repeated', variant, [])
    .option('--reference <file>', 'CSV of the features that it was validated on')
    .option('--golden <path>', 'golden vectors: JSON, or a folder of ONNX test data')
    .option('--input-spec <json>', 'how to make inputs, where golden vectors are derived')
    .option(
      '--batch-axis <list>',
      'dimensions to put requests together along: x=0,state=1,sr=equal',
    )
    .option('--decimals <n>', 'answers tell scores rounded to so many decimals', Number)
    .option('--top-k <n>', 'answers tell only so many of the largest class scores', Number)
    .option('--requests-per-minute <n>', 'a device answers at most so many', Number)
    .option(
      '--requests-burst <n>',
      'so many of them at once (a tenth of those of a minute)',
      Number,
    )
    .option('--count-noise <epsilon>', 'counts of inputs and classes leave with noise', Number)
    .option('--spec <file>', 'release.json with all of this; flags win')
    .option('--description <text>', 'one sentence for people')
    .addHelpText(
      'after',
      `
Without --golden eight seeded vectors are derived by running the model. Where it fails on the inputs
that are made up, or gives NaN, --input-spec says how to make them: for each input its shape, a range
of values ("min", "max"), or one "value" for all elements.

Examples:
  linnet release create --model m.onnx --name motor --version 1.1.0 --reference rows.csv
  linnet release create --model m.onnx --variant int8=q.onnx:intel-n100 --name m --version 1.1.0
  linnet release create --model bert.onnx --name bert --version 1.0.0 \\
    --input-spec '{"input_ids":{"shape":[1,128],"min":0,"max":30521}}'
  linnet release create --spec release.json
`,
    )
    .action((options: CommonOptions & ReleaseFlags) => createRelease(openContext(options), options))
}

function addSign(release: Command): void {
  withCommonOptions(release.command('sign [release]'))
    .description('signs a created release with the publisher key; --renew only the expiry')
    .option('--renew', 'no new release: what is signed expires later')
    .option('--keys <folder>', 'where the keys are (default: keys under --home)')
    .option(
      '--min-counter <n>',
      'devices take no release of this model with a lower counter any more, not even back',
      whole,
      0,
    )
    .option('--offline', 'do not ask the controller what it publishes')
    .option('--role <role>', 'sign as this role (default: the place of the key in targets)')
    .addOption(
      new Option(
        '--on-revoked <policy>',
        'when it is revoked and a device has nothing else',
      ).choices(['serve', 'stop']),
    )
    .addHelpText(
      'after',
      `
A release that is revoked while a device has nothing else is served on, unless it was signed with
--on-revoked stop: then the device answers no more requests of the model.

Examples:
  linnet release sign motor-vibration@1.1.0
  linnet release sign motor-vibration@1.1.0 --on-revoked stop
  linnet release sign --renew --role model-camera
  linnet release sign motor-vibration@1.1.0 --keys /media/stick/linnet-keys --offline
`,
    )
    .action((name: string | undefined, options: SignFlags) => {
      const context = openContext(options)
      const { minCounter, offline = false, role, onRevoked } = options
      const as = role === undefined ? {} : { role }
      const folder = folderOf(context, options)
      if (options.renew) return renewTargets(context, folder, { offline, ...as })
      if (name === undefined) throw release.error('error: which release? or --renew')
      const policy = onRevoked === undefined ? {} : { onRevoked }
      const how = { minCounter, offline, ...as, ...policy }
      return signRelease(context, folder, parseReleaseName(name), how)
    })
  withCommonOptions(release.command('publish [release]'))
    .description('uploads a signed release, or all that is signed; run again to resume')
    .option('--targets <file>', 'signed targets from elsewhere, with the signatures of others')
    .addHelpText('after', '\nExamples:\n  linnet release publish motor-vibration@1.1.0\n')
    .action((name: string | undefined, options: CommonOptions & { targets?: string }) => {
      const context = openContext(options)
      const wanted = name === undefined ? undefined : parseReleaseName(name)
      const folder = publisherFolder(context.home)
      const targets = options.targets ?? folder.targets
      return publishRelease(context, { ...folder, targets }, wanted)
    })
  addCosign(release)
  withCommonOptions(release.command('revoke <release>'))
    .description('no device may be given it again; rollouts of it roll back')
    .option('--keys <folder>', 'where the keys are (default: keys under --home)')
    .option('--offline', 'only sign; publish later')
    .option('--yes', 'ask nothing')
    .addHelpText(
      'after',
      `
Devices hear of it within the minute. Who holds the controller can hide it from them until the
targets that they know expire: 14 days at most after they were signed.

Examples:
  linnet release revoke motor-vibration@1.1.0 --yes
`,
    )
    .action((name: string, options: KeysOption & { offline?: boolean; yes?: boolean }) => {
      const context = openContext(options)
      const { offline = false, yes = false } = options
      const folder = folderOf(context, options)
      return revokeRelease(context, folder, parseReleaseName(name), { offline, yes })
    })
}

function addCosign(release: Command): void {
  withCommonOptions(release.command('cosign'))
    .description('a second publisher signs what the first one signed')
    .option('--role <role>', 'a role that targets delegate to', 'targets')
    .option('--file <file>', 'what was signed (default: what was here, or waits at the controller)')
    .option('--keys <folder>', 'where the keys are (default: keys under --home)')
    .option('--yes', 'ask nothing')
    .addHelpText(
      'after',
      `
Examples:
  linnet release cosign --file targets.json
  linnet release cosign --role model-camera
`,
    )
    .action((options: KeysOption & { role: string; file?: string; yes?: boolean }) => {
      const context = openContext(options)
      const folder = folderOf(context, options)
      const { role, file, yes = false } = options
      const from = file === undefined ? {} : { file }
      return cosignTargets(context, folder, { role, yes, ...from })
    })
  withCommonOptions(release.command('promote <release>'))
    .description('from staging to production, with the signature of a second publisher')
    .option('--keys <folder>', 'where the keys are (default: keys under --home)')
    .option('--yes', 'ask nothing')
    .addHelpText(
      'after',
      `
The publisher who signed the release for staging signed for production as well, unless another one
waited; each further publisher runs this once, until enough have signed.

Examples:
  linnet release promote motor-vibration@1.1.0
`,
    )
    .action((name: string, options: KeysOption & { yes?: boolean }) => {
      const context = openContext(options)
      const folder = folderOf(context, options)
      return promoteRelease(context, folder, parseReleaseName(name), options.yes ?? false)
    })
}

interface SignFlags extends KeysOption {
  readonly minCounter: number
  readonly offline?: boolean
  readonly renew?: boolean
  readonly role?: string
  readonly onRevoked?: 'serve' | 'stop'
}

function folderOf(context: Context, { keys }: KeysOption) {
  return publisherFolder(context.home, keys === undefined ? undefined : resolve(keys))
}

async function showRelease(context: Context, name: string): Promise<void> {
  const params = parseReleaseName(name)
  const release = unwrap(await context.client.call('releaseShow', { params }))
  context.show(release, () => {
    const detail = releaseDetail(release, Date.now())
    return [
      textFacts(detail.facts, context.terminal.paint),
      ...['', fitted(context, detail.tensors, '')],
      ...['', fitted(context, detail.variants, '')],
      ...['', 'Promises', textFacts(detail.serviceLevels)],
      ...(detail.evaluation.length === 0 ? [] : ['', 'Evaluated', textFacts(detail.evaluation)]),
    ].join('\n')
  })
}
