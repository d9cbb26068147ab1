/**
 * The token that a device is given names the root it shall trust. The root is the publisher's own
 * copy where this machine has one; else the controller's, which is then trusted for it, and said.
 */
import { ProblemError, unwrap } from '../../shared/kernel/result.ts'
import { sha256Hex } from '../../shared/kernel/sha256.ts'
import { readFileBounded } from '../../shared/node/atomic-file.ts'
import { formatEnrolmentToken } from '../../shared/signing/enrolment-token.ts'
import type { Context } from './context.ts'
import { publisherFolder } from './publisher-folder.ts'

const ROOT_BYTES_MAX = 1_048_576

/** Errors (thrown): `trust.no_root`, and the controller's. */
export async function createEnrolmentToken(
  context: Context,
  body: {
    uses: number
    expiresInSeconds: number
    labels: Record<string, string>
    staging?: boolean
  },
): Promise<{ token: string; expiresAtMs: number; fleet: string; rootSha256: string }> {
  const { client } = context
  const rootSha256 = sha256Hex(await trustedRoot(context))
  const { fleet } = unwrap(await client.call('session', {}))
  const made = unwrap(await client.call('enrolmentTokenCreate', { body }))
  const id = sha256Hex(made.token).slice(0, 12)
  const { staging = false } = body
  const token = formatEnrolmentToken({ fleet, id, secret: made.token, rootSha256, staging })
  return { token, expiresAtMs: made.expiresAtMs, fleet, rootSha256 }
}

async function trustedRoot({ home, baseUrl, terminal }: Context): Promise<Uint8Array> {
  const own = await readFileBounded(publisherFolder(home).root, ROOT_BYTES_MAX)
  if (own !== undefined) return own
  const answer = await fetch(`${baseUrl}/tuf/metadata/1.root.json`).catch(() => undefined)
  if (answer?.ok) {
    const bytes = new Uint8Array(await answer.arrayBuffer())
    terminal.say(`The root comes from the controller; compare it: ${sha256Hex(bytes)}`)
    return bytes
  }
  throw new ProblemError({
    code: answer === undefined ? 'controller.unreachable' : 'trust.no_root',
    message: 'There is no root of trust yet that a device could be told to trust.',
    next: 'linnet key new',
  })
}
