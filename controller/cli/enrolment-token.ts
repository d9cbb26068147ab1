/**
 * The token that a device is given names the root it shall trust: the publisher's own copy where this
 * machine has one, or the one whose digest a publisher told. Invariant: the root never comes from the
 * controller, which a thief may hold.
 */
import { ProblemError, unwrap } from '../../shared/kernel/result.ts'
import { sha256Hex } from '../../shared/kernel/sha256.ts'
import { readFileBounded } from '../../shared/node/atomic-file.ts'
import { formatEnrolmentToken } from '../../shared/signing/enrolment-token.ts'
import type { Context } from './context.ts'
import { publisherFolder } from './publisher-folder.ts'

const ROOT_BYTES_MAX = 1_048_576

/**
 * @param rootSha256Told by a publisher; absent: the copy on this machine
 * Errors (thrown): `trust.no_root`, and the controller's.
 */
export async function createEnrolmentToken(
  context: Context,
  body: {
    uses: number
    expiresInSeconds: number
    labels: Record<string, string>
    staging?: boolean
  },
  rootSha256Told: string | undefined,
): Promise<{ token: string; expiresAtMs: number; fleet: string; rootSha256: string }> {
  const { client } = context
  const rootSha256 = rootSha256Told ?? (await ownRoot(context))
  const { fleet } = unwrap(await client.call('session', {}))
  const made = unwrap(await client.call('enrolmentTokenCreate', { body }))
  const id = sha256Hex(made.token).slice(0, 12)
  const { staging = false } = body
  const token = formatEnrolmentToken({ fleet, id, secret: made.token, rootSha256, staging })
  return { token, expiresAtMs: made.expiresAtMs, fleet, rootSha256 }
}

async function ownRoot({ home }: Context): Promise<string> {
  const own = await readFileBounded(publisherFolder(home).root, ROOT_BYTES_MAX)
  if (own !== undefined) return sha256Hex(own)
  throw new ProblemError({
    code: 'trust.no_root',
    message: 'This machine has no root of trust that a device could be told to trust.',
    expected: "the publishers' root under LINNET_HOME, or its fingerprint as they tell it",
    next: 'linnet key new; or, with what linnet key show prints there: linnet device token --root',
  })
}
