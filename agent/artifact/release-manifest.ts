/**
 * The manifest of a release, out of the file that the publishers signed. Invariants: it is parsed
 * only after its length and hashes were those that were signed; it speaks only for the artifact that
 * the same role signed, of the same model, version and variant.
 */
import { ok, type Problem, type Result, refuse } from '../../shared/kernel/result.ts'
import { MANIFEST_BYTES_MAX, type Manifest, manifestSchema } from '../../shared/model/manifest.ts'
import type { FirmwareProfile } from '../../shared/model/profile.ts'
import { chooseVariant } from '../../shared/model/variant-choice.ts'
import { parseJson } from '../../shared/signing/canonical-json.ts'
import type { FetchReply } from '../../shared/signing/tuf/effects.ts'
import type { FoundTarget } from '../../shared/signing/tuf/search.ts'
import { targetUrlPath } from '../../shared/signing/tuf/store-layout.ts'
import { checkFile } from '../../shared/signing/tuf/target-file.ts'
import type { ReleaseRef } from '../../shared/update/state.ts'
import type { ResolvedRelease } from '../ports.ts'

/** A small file below the targets URL; never more than `bytesMax` bytes. */
export type FetchTarget = (path: string, bytesMax: number) => Promise<FetchReply>

/** Errors: `release.manifest`, `net.*`, `tuf.*`. */
export async function fetchManifest(
  { path, file }: FoundTarget,
  fetchTarget: FetchTarget,
): Promise<Result<Manifest>> {
  const urlPath = targetUrlPath(path, file, true)
  if (urlPath === undefined || file.length > MANIFEST_BYTES_MAX) {
    return refuse('release.manifest', 'The manifest has an impossible path or size.')
  }
  const reply = await fetchTarget(urlPath, file.length)
  if (reply.kind === 'failed') return { ok: false, error: reply.problem }
  if (reply.kind === 'absent') return refuse('net.http', `There is no ${path} at the controller.`)
  const right = checkFile(reply.bytes, file, path)
  if (!right.ok) return right
  return parseManifest(reply.bytes)
}

/** Nobody's manifest speaks for somebody else's artifact. Error: `trust.target_mismatch`. */
export function requireSameRole(artifact: FoundTarget, manifest: FoundTarget): Result<undefined> {
  const [expected, found] = [artifact, manifest].map(({ roles }) => roles.join(' > '))
  if (expected === found) return ok()
  return refuse('trust.target_mismatch', 'Manifest and artifact were signed by different roles.', {
    expected,
    found,
  })
}

function parseManifest(bytes: Uint8Array): Result<Manifest> {
  const limits = { bytesMax: MANIFEST_BYTES_MAX, depthMax: 16, valuesMax: 200_000 }
  const json = parseJson(bytes, limits)
  if (!json.ok) return refuse('release.manifest', json.error.message)
  const manifest = manifestSchema.safeParse(json.value)
  if (manifest.success) return ok(manifest.data)
  const [issue] = manifest.error.issues
  return refuse('release.manifest', 'The manifest has not the expected form.', {
    found: `${issue?.path.join('.') ?? ''}: ${issue?.message ?? ''}`,
    next: 'update the agent, or create the release again',
  })
}

/** Errors: `release.model`, `release.variant`, `variant.*`. */
export function checkManifest(
  release: ReleaseRef,
  manifest: Manifest,
  profile: FirmwareProfile,
): Result<ResolvedRelease> {
  const variant = manifest.variants.find(({ name }) => name === release.variant)
  const { artifact } = variant ?? {}
  const flaw: Omit<Problem, 'message'> | undefined =
    manifest.model !== release.model || manifest.version !== release.version
      ? { code: 'release.model', found: `${manifest.model}@${manifest.version}` }
      : artifact?.sha256 !== release.sha256 || artifact.length !== release.length
        ? { code: 'release.variant', found: artifact?.sha256 ?? 'no such variant' }
        : undefined
  if (variant === undefined || flaw !== undefined) {
    const expected = `${release.target} with ${release.sha256}`
    const message = 'Manifest and assignment do not belong together.'
    return { ok: false, error: { code: 'release.variant', ...flaw, message, expected } }
  }
  const suits = chooseVariant({ ...manifest, variants: [variant] }, profile)
  return suits.ok ? ok({ release, manifest, variant }) : suits
}
