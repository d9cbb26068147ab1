/**
 * `linnet release cosign`: the signature of a second publisher on targets metadata that the first one
 * signed, on another machine. What changes against what the controller publishes is shown first:
 * nobody signs what he has not seen.
 */
import { ProblemError, unwrap } from '../../shared/kernel/result.ts'
import { MANIFEST_FILE } from '../../shared/model/manifest.ts'
import { readFileBounded, writeFileAtomic } from '../../shared/node/atomic-file.ts'
import { loadSigner } from '../../shared/node/key-files.ts'
import { nodeVerifier } from '../../shared/node/verifier-node.ts'
import { isSignedBy, openEnvelope } from '../../shared/signing/envelope.ts'
import { checkSync, keyId, keyIdentity } from '../../shared/signing/keys.ts'
import { defaultTufLimits, jsonLimits } from '../../shared/signing/tuf/limits.ts'
import type { Root, Targets } from '../../shared/signing/tuf/metadata.ts'
import { addSignatures } from '../../shared/signing/tuf/publish.ts'
import { confirm } from './confirm.ts'
import type { Context } from './context.ts'
import { askPassphrase } from './passphrase.ts'
import { type PublisherFolder, parseTargets } from './publisher-folder.ts'
import { newestRoot, verifyRepository } from './trusted-root.ts'

/** Errors (thrown): `release.not_signed`, `.not_next`, `key.not_publisher`, `key_file.*`, `tuf.*`. */
export async function cosignTargets(
  context: Context,
  folder: PublisherFolder,
  options: { readonly file: string; readonly yes: boolean },
): Promise<void> {
  const bytes = await readFileBounded(options.file, defaultTufLimits.targetsBytesMax)
  if (bytes === undefined) {
    throw new ProblemError({
      code: 'release.not_signed',
      message: 'There are no targets here that somebody signed before.',
      expected: options.file,
      next: 'copy publisher/targets.json from the machine of the first publisher',
    })
  }
  const trusted = await verifyRepository(context, folder)
  const root = trusted?.root ?? (await newestRoot(folder)).root
  const { targets } = parseTargets(bytes)
  const changes = changesOf(trusted?.targets, targets)
  context.terminal.say(`Targets version ${targets.version}:`)
  for (const change of changes) context.terminal.say(`  ${change}`)
  await confirm(context, 'Sign this?', options.yes)
  const signer = await loadSigner(folder.publisherKey, await askPassphrase('Passphrase: '))
  const publishers = root.roles.targets
  const known = [...publishers.keys.values()].map(keyIdentity)
  if (!known.includes(keyIdentity(signer.key))) {
    throw new ProblemError({
      code: 'key.not_publisher',
      message: 'The root does not name this key as a publisher.',
      expected: [...publishers.keys.keys()].join(', '),
      found: keyId(signer.key),
      next: 'linnet key rotate --add-publisher FILE, where the root key is',
    })
  }
  const signed = unwrap(addSignatures(bytes, [signer]))
  await writeFileAtomic(options.file, signed)
  const signatures = signaturesOn(signed, root)
  const { threshold } = publishers
  const data = { targetsVersion: targets.version, signatures, threshold, changes }
  context.show(data, () =>
    signatures >= threshold
      ? `Signed by ${signatures} of ${threshold}.\nnext: linnet release publish --targets FILE`
      : `Signed by ${signatures} of ${threshold}.\nnext: linnet release cosign, by somebody else`,
  )
}

/** How many distinct publishers of this root signed. */
export function signaturesOn(bytes: Uint8Array, root: Root): number {
  const opened = unwrap(openEnvelope(bytes, jsonLimits(defaultTufLimits.targetsBytesMax)))
  const { keys } = root.roles.targets
  const holds = [...keys].filter(([id, key]) =>
    checkSync(isSignedBy(opened, { keys: new Map([[id, key]]), threshold: 1 }), nodeVerifier),
  )
  return holds.length
}

function changesOf(before: Targets | undefined, next: Targets): string[] {
  if (before !== undefined && next.version !== before.version + 1) {
    throw new ProblemError({
      code: 'release.not_next',
      message: 'These targets are not made from the ones that are published.',
      expected: `version ${before.version + 1}`,
      found: `version ${next.version}`,
      next: 'linnet release sign, again, on the machine of the first publisher',
    })
  }
  const releases = (targets: Targets | undefined) =>
    new Map(
      [...(targets?.targets ?? [])]
        .filter(([path]) => path.endsWith(`/${MANIFEST_FILE}`))
        .map(([path, { hashes }]) => [path, hashes.get('sha256')]),
    )
  const [old, now] = [releases(before), releases(next)]
  const named = (path: string) => path.slice(0, -MANIFEST_FILE.length - 1).replace('/', '@')
  const added = [...now].filter(([path, digest]) => old.get(path) !== digest)
  const removed = [...old.keys()].filter((path) => !now.has(path))
  const changes = [
    ...added.map(([path]) => `${old.has(path) ? 'changes' : 'adds'} ${named(path)}`),
    ...removed.map((path) => `revokes ${named(path)}`),
  ]
  return changes.length > 0 ? changes : ['changes no release; the expiry is later']
}
