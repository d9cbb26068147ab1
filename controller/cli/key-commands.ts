/**
 * `linnet key`: the offline keys, and the first root, which ties them to the controller's online
 * ones.
 */
import { stat } from 'node:fs/promises'
import { resolve } from 'node:path'
import { Command } from 'commander'
import { ProblemError, unwrap } from '../../shared/kernel/result.ts'
import { sha256Hex } from '../../shared/kernel/sha256.ts'
import { readFileBounded, writeFileAtomic } from '../../shared/node/atomic-file.ts'
import { loadSigner, readPublicKey, writeKeyFile } from '../../shared/node/key-files.ts'
import { generatePrivateKey } from '../../shared/node/signer-node.ts'
import { keyId, type PublicKey } from '../../shared/signing/keys.ts'
import { rootMetadata, signRole } from '../../shared/signing/tuf/publish.ts'
import { textFacts } from '../../shared/view/text-table.ts'
import { type CommonOptions, type Context, openContext, withCommonOptions } from './context.ts'
import { askNewPassphrase, askPassphrase } from './passphrase.ts'
import { type PublisherFolder, publisherFolder } from './publisher-folder.ts'

const ROOT_LIFETIME_MS = 365 * 86_400_000
const ROOT_BYTES_MAX = 1_048_576

interface KeyOptions extends CommonOptions {
  readonly out?: string
}

export function keyCommands(): Command {
  const key = new Command('key').description('the offline keys of this fleet')
  withCommonOptions(key.command('new'))
    .description('makes root and publisher keys, signs the first root and uploads it')
    .option('--out <folder>', 'where the keys go (default: keys under --home)')
    .addHelpText(
      'after',
      `
The keys are encrypted with a passphrase: LINNET_PASSPHRASE, or asked for. Keep them off the
controller's machine: whoever has them and the passphrase decides what devices may run. Run again
after a failed upload, it goes on with the same keys.

Examples:
  linnet key new
  linnet key new --out /media/stick/linnet-keys
`,
    )
    .action((options: KeyOptions) => newKeys(openContext(options), options))
  withCommonOptions(key.command('show'))
    .description('key ids, and the fingerprint of the root')
    .option('--out <folder>', 'where the keys are (default: keys under --home)')
    .addHelpText('after', '\nExamples:\n  linnet key show --json\n')
    .action((options: KeyOptions) => showKeys(openContext(options), options))
  return key
}

async function newKeys(context: Context, options: KeyOptions): Promise<void> {
  const folder = foldersOf(context, options)
  const { client, terminal } = context
  const online = unwrap(await client.call('onlineKeys', {}))
  const before = await readFileBounded(folder.root, ROOT_BYTES_MAX)
  if (before === undefined) {
    const passphrase = (await keysExist(folder))
      ? await askPassphrase('Passphrase: ')
      : await makeKeys(folder)
    await signFirstRoot(folder, passphrase, online.keys)
  }
  const root = (await readFileBounded(folder.root, ROOT_BYTES_MAX))!
  const { version } = unwrap(await client.call('rootPut', {}, root))
  terminal.say(`Root version ${version} is in place.`)
  const facts = await keyFacts(folder)
  context.show({ ...facts, fleet: online.fleet, rootVersion: version }, () => factsText(facts))
}

const foldersOf = (context: Context, { out }: KeyOptions): PublisherFolder =>
  publisherFolder(context.home, out === undefined ? undefined : resolve(out))

/** Errors (thrown): `key.incomplete` where only one of the two is there. */
async function keysExist(folder: PublisherFolder): Promise<boolean> {
  const found = await Promise.all(
    [folder.rootKey, folder.publisherKey].map((path) =>
      stat(path).then(
        () => path,
        () => undefined,
      ),
    ),
  )
  const there = found.filter((path) => path !== undefined)
  if (there.length === 1) {
    throw new ProblemError({
      code: 'key.incomplete',
      message: 'One of the two keys is missing.',
      expected: `${folder.rootKey} and ${folder.publisherKey}`,
      found: there[0] ?? '',
      next: 'restore it, or give another folder with --out',
    })
  }
  return there.length === 2
}

async function makeKeys(folder: PublisherFolder): Promise<string> {
  const passphrase = await askNewPassphrase()
  for (const path of [folder.rootKey, folder.publisherKey]) {
    await writeKeyFile(path, generatePrivateKey('ed25519'), { passphrase })
  }
  return passphrase
}

type OnlineKey = { readonly role: string; readonly key: PublicKey }

async function signFirstRoot(
  folder: PublisherFolder,
  passphrase: string,
  online: readonly OnlineKey[],
): Promise<void> {
  const role = (name: string) => {
    const keys = online.filter((entry) => entry.role === name).map(({ key }) => key)
    return { keys, threshold: 1 }
  }
  const signer = await loadSigner(folder.rootKey, passphrase)
  const root = rootMetadata({
    version: 1,
    expiresMs: Date.now() + ROOT_LIFETIME_MS,
    roles: {
      root: { keys: [signer.key], threshold: 1 },
      targets: { keys: [await readPublicKey(folder.publisherKey)], threshold: 1 },
      snapshot: role('snapshot'),
      timestamp: role('timestamp'),
    },
    director: { ...role('director'), directorEpoch: 1 },
  })
  const { bytes } = unwrap(signRole('root', root, [signer]))
  await writeFileAtomic(folder.root, bytes)
}

interface KeyFacts {
  readonly rootKey: string
  readonly publisherKey: string
  /** SHA-256 of the first root: what a device is given to trust. */
  readonly rootFingerprint: string | null
}

async function keyFacts(folder: PublisherFolder): Promise<KeyFacts> {
  const root = await readFileBounded(folder.root, ROOT_BYTES_MAX)
  return {
    rootKey: keyId(await readPublicKey(folder.rootKey)),
    publisherKey: keyId(await readPublicKey(folder.publisherKey)),
    rootFingerprint: root === undefined ? null : sha256Hex(root),
  }
}

async function showKeys(context: Context, options: KeyOptions): Promise<void> {
  const facts = await keyFacts(foldersOf(context, options))
  context.show(facts, factsText)
}

function factsText({ rootKey, publisherKey, rootFingerprint }: KeyFacts): string {
  return textFacts([
    ['root key', rootKey],
    ['publisher key', publisherKey],
    ['root', rootFingerprint ?? 'not signed yet: linnet key new'],
  ])
}
