/**
 * The root that this machine trusts, followed to its newest version: what the controller serves is
 * verified from our own first root by the client that devices use; without a controller what was
 * verified before, or the first root itself.
 */
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { ProblemError, unwrap } from '../../shared/kernel/result.ts'
import { readFileBounded, writeFileAtomic } from '../../shared/node/atomic-file.ts'
import { fetchBounded } from '../../shared/node/http-download.ts'
import { createTufFiles } from '../../shared/node/tuf-files.ts'
import { nodeVerifier } from '../../shared/node/verifier-node.ts'
import { isSignedBy, openEnvelope } from '../../shared/signing/envelope.ts'
import { checkSync } from '../../shared/signing/keys.ts'
import { refresh, type TrustedSet } from '../../shared/signing/tuf/client.ts'
import { runTufAsync } from '../../shared/signing/tuf/effects.ts'
import { defaultTufLimits, jsonLimits } from '../../shared/signing/tuf/limits.ts'
import { type Root, readRoot } from '../../shared/signing/tuf/metadata.ts'
import { roleFileName } from '../../shared/signing/tuf/store-layout.ts'
import type { Context } from './context.ts'
import type { PublisherFolder } from './publisher-folder.ts'

export const ROOT_BYTES_MAX = 1_048_576
/** A controller that stands still, or never ends, holds no publisher up. */
export const METADATA_PACE = { deadlineMs: 30_000, bytesPerSecondMin: 100 } as const

/**
 * What the controller publishes, verified from our own root. undefined where it publishes nothing
 * yet, or cannot be reached: then what is at hand decides. Errors (thrown): `trust.no_root`, `tuf.*`.
 */
export async function verifyRepository(
  { baseUrl, terminal }: Context,
  folder: PublisherFolder,
): Promise<TrustedSet | undefined> {
  const root = await readFileBounded(folder.root, ROOT_BYTES_MAX)
  if (root === undefined) {
    throw new ProblemError({
      code: 'trust.no_root',
      message: 'There is no root here to verify the repository with.',
      expected: folder.root,
      next: 'linnet key new',
    })
  }
  const bytesMax = defaultTufLimits.timestampBytesMax
  const answer = await fetchBounded(`${baseUrl}/tuf/metadata/timestamp.json`, {
    ...METADATA_PACE,
    bytesMax,
  })
  if (answer.kind === 'failed') {
    terminal.say('The controller does not answer; using what is at hand.')
  }
  if (answer.kind !== 'fetched') return undefined
  await keepTrustedRoot(folder, root)
  const files = createTufFiles(folder.verified, `${baseUrl}/tuf/metadata`, nodeVerifier)
  return unwrap(await runTufAsync(refresh(Date.now()), files))
}

/** The newest root that was verified on this machine. Errors (thrown): `trust.no_root`. */
export async function newestRoot(
  folder: PublisherFolder,
): Promise<{ root: Root; bytes: Uint8Array }> {
  const verified = join(folder.verified, roleFileName('root'))
  const candidates = []
  for (const path of [verified, folder.root]) {
    const bytes = await readFileBounded(path, ROOT_BYTES_MAX)
    if (bytes !== undefined) candidates.push({ root: parseRoot(bytes), bytes })
  }
  const [newest] = candidates.toSorted((a, b) => b.root.version - a.root.version)
  if (newest !== undefined) return newest
  throw new ProblemError({
    code: 'trust.no_root',
    message: 'There is no root of trust on this machine.',
    expected: folder.root,
    next: 'linnet key new, or copy root.json from the machine of the ceremony',
  })
}

/**
 * The next root, where one waits at the controller for targets that its publishers sign. It is one
 * only if the root keys of both versions say so: the controller is not believed.
 */
export async function waitingRoot(
  { baseUrl }: Context,
  folder: PublisherFolder,
): Promise<Root | undefined> {
  const url = `${baseUrl}/tuf/metadata/waiting.${roleFileName('root')}`
  const answer = await fetchBounded(url, { ...METADATA_PACE, bytesMax: ROOT_BYTES_MAX })
  if (answer.kind !== 'fetched') return undefined
  const { root: present } = await newestRoot(folder)
  const opened = openEnvelope(answer.bytes, jsonLimits(defaultTufLimits.rootBytesMax))
  const next = opened.ok ? readRoot(opened.value.signed) : opened
  if (!opened.ok || !next.ok || next.value.version !== present.version + 1) return undefined
  const isTrusted = [present, next.value].every(({ roles }) =>
    checkSync(isSignedBy(opened.value, roles.root), nodeVerifier),
  )
  return isTrusted ? next.value : undefined
}

/** Our own file: signatures are checked by whoever takes it over. */
export function parseRoot(bytes: Uint8Array): Root {
  const { signed } = unwrap(openEnvelope(bytes, jsonLimits(defaultTufLimits.rootBytesMax)))
  return unwrap(readRoot(signed))
}

/** The client's folder starts with our root and then follows the chain by itself. */
async function keepTrustedRoot(folder: PublisherFolder, root: Uint8Array): Promise<void> {
  const names = await readdir(folder.verified).catch(() => [] as string[])
  const name = roleFileName('root')
  if (!names.includes(name)) await writeFileAtomic(join(folder.verified, name), root)
}
