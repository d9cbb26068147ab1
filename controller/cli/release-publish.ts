/**
 * `linnet release publish`: uploads the files that the controller lacks, then the signed targets
 * metadata that name them. Idempotent: what is there already is not sent again, so an interrupted
 * upload is resumed by running it again.
 */
import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { endpointPath } from '../../shared/api/endpoints.ts'
import { errorResourceSchema } from '../../shared/api/resources.ts'
import type { RouteResponse } from '../../shared/api/routes.ts'
import { fromUtf8, utf8 } from '../../shared/kernel/bytes.ts'
import { type Problem, ProblemError, unwrap } from '../../shared/kernel/result.ts'
import { MANIFEST_FILE } from '../../shared/model/manifest.ts'
import { PRODUCTION_ROLE } from '../../shared/signing/tuf/release-target.ts'
import { bytes as byteWords } from '../../shared/view/words.ts'
import type { Context } from './context.ts'
import { type PublisherFolder, readSignedTargets, type SignedTargets } from './publisher-folder.ts'
import { readRoles, type SignedRoles } from './signed-roles.ts'

const UPLOAD_TIMEOUT_MS = 3_600_000

/**
 * Without a name, whatever was signed here and is newer than what is published. Errors (thrown):
 * `release.not_signed`, `release.missing_file`, and the controller's.
 */
export async function publishRelease(
  context: Context,
  folder: PublisherFolder,
  name: { model: string; version: string } | undefined,
): Promise<void> {
  const release = name === undefined ? 'all that is signed' : `${name.model}@${name.version}`
  const here = await readRoles(context, folder, true)
  // Others publish too where there are roles of others: what they did first is asked for.
  const isShared = here.delegations.length > 0
  const roles = isShared ? await readRoles(context, folder, false) : here
  const { newest, pending, published, delegations } = roles
  const path = name && `${name.model}/${name.version}/${MANIFEST_FILE}`
  const isListed = [...newest.values()].some(
    ({ targets }) => path === undefined || targets.targets.has(path),
  )
  if (!isListed) {
    throw new ProblemError({
      code: 'release.not_signed',
      message: name === undefined ? 'Nothing is signed here.' : `${release} is not signed yet.`,
      next: `linnet release sign ${name === undefined ? 'RELEASE' : release}`,
    })
  }
  // Nothing new is sent once more: the controller says whether it still has it.
  const own = await readSignedTargets(folder.targets)
  const isAlone = pending.size === 0 && delegations.length === 0 && own !== undefined
  const files = isAlone ? new Map([['targets', own]]) : pending
  const sent = await publishRoles(context, folder, files)
  const { targets } = files.get('targets') ?? published.get('targets') ?? own!
  const data = { release, targetsVersion: targets.version, ...sent }
  const versions = [...files]
    .map(([role, signed]) => `${role} ${signed.targets.version}`)
    .join(', ')
  const proposed = proposedRelease(roles)
  const isNew = sent.releases.length > 0 || sent.waiting.length > 0 || (isShared && files.size > 0)
  context.show(data, () =>
    [
      isNew
        ? `Published ${sent.releases.join(', ') || versions}; ${sent.uploaded} files uploaded.`
        : `${release} was published already.`,
      ...sent.waiting.map((role) => waitingText(role, proposed)),
    ].join('\n'),
  )
}

/** The one release that is signed for production, and nothing else is. */
function proposedRelease({ published, pending }: SignedRoles): string | undefined {
  const listed = (signed: SignedTargets | undefined) => [...(signed?.targets.targets.keys() ?? [])]
  const before = new Set(listed(published.get(PRODUCTION_ROLE)))
  const next = listed(pending.get(PRODUCTION_ROLE))
  if ([...before].some((path) => !next.includes(path))) return undefined
  const added = next.filter((path) => !before.has(path))
  const names = new Set(added.map((path) => path.split('/').slice(0, 2).join('@')))
  return names.size === 1 ? [...names][0] : undefined
}

/** What a role that lacks signatures waits for; `release` where it waits for that alone. */
export function waitingText(
  { role, signatures, threshold }: PublishedRoles['waiting'][number],
  release?: string,
): string {
  const isPromotion = role === PRODUCTION_ROLE && release !== undefined
  const command = isPromotion ? `promote ${release}` : `cosign --role ${role}`
  const next = `linnet release ${command}, by another publisher`
  return `${role} is signed by ${signatures} of ${threshold}.\nnext: ${next}`
}

type PublishedRoles = RouteResponse<'rolesPut'>

/** Missing files first, then the metadata that name them. Errors (thrown): as `publishRelease`. */
export async function publishRoles(
  context: Context,
  folder: PublisherFolder,
  files: ReadonlyMap<string, SignedTargets>,
): Promise<{ uploaded: number } & PublishedRoles> {
  let uploaded = 0
  for (const signed of files.values()) uploaded += await uploadMissing(context, folder, signed)
  const alone = files.size === 1 ? files.get('targets') : undefined
  if (alone !== undefined) {
    return { uploaded, ...unwrap(await context.client.call('targetsPut', {}, alone.bytes)) }
  }
  if (files.size === 0) return { uploaded, releases: [], waiting: [] }
  const texts = [...files].map(([role, { bytes }]) => [role, fromUtf8(bytes)])
  const body = utf8(JSON.stringify(Object.fromEntries(texts)))
  return { uploaded, ...unwrap(await context.client.call('rolesPut', {}, body)) }
}

/** All files that the metadata name must be there before them. @returns how many were sent. */
async function uploadMissing(
  context: Context,
  folder: PublisherFolder,
  signed: SignedTargets,
): Promise<number> {
  let uploaded = 0
  for (const [path, { hashes, length }] of signed.targets.targets) {
    const sha256 = hashes.get('sha256') ?? ''
    if (await isThere(context, sha256)) continue
    const [model = '', version = '', file = ''] = path.split('/')
    const local = join(folder.release(model, version), file)
    const about = await stat(local).catch(() => undefined)
    if (about?.size !== length) {
      throw new ProblemError({
        code: 'release.missing_file',
        message: `The controller lacks ${path}, and it is not here either.`,
        expected: `${local} with ${length} bytes`,
        found: about === undefined ? 'no file' : `${about.size} bytes`,
        next: `linnet release publish on the machine that created it, or copy ${local} from there`,
      })
    }
    context.terminal.say(`uploading ${path}, ${byteWords(length)}`)
    await upload(context, sha256, local, length)
    uploaded++
  }
  return uploaded
}

async function isThere(context: Context, sha256: string): Promise<boolean> {
  const url = context.baseUrl + endpointPath('artifactGet', { sha256 })
  const answer = await reach(context, fetch(url, { method: 'HEAD' }))
  return answer.ok
}

async function upload(
  context: Context,
  sha256: string,
  path: string,
  length: number,
): Promise<void> {
  const url = context.baseUrl + endpointPath('artifactPut', { sha256 })
  const request = {
    method: 'PUT',
    headers: {
      'content-type': 'application/octet-stream',
      'content-length': String(length),
      ...(context.token === undefined ? {} : { authorization: `Bearer ${context.token}` }),
    },
    body: createReadStream(path),
    // A stream as body has no other way in Node's fetch.
    duplex: 'half',
    signal: AbortSignal.timeout(UPLOAD_TIMEOUT_MS),
  }
  const answer = await reach(context, fetch(url, request as unknown as RequestInit))
  if (answer.ok) return
  const refusal = errorResourceSchema.safeParse(await answer.json().catch(() => undefined))
  throw new ProblemError(
    refusal.success
      ? (refusal.data.error as Problem)
      : { code: 'controller.answer', message: `The upload ended with status ${answer.status}.` },
  )
}

async function reach({ baseUrl }: Context, answer: Promise<Response>): Promise<Response> {
  try {
    return await answer
  } catch (cause) {
    throw new ProblemError(
      {
        code: 'controller.unreachable',
        message: `No answer from ${baseUrl}.`,
        next: 'linnet controller; then run this again, it goes on where it stopped',
      },
      { cause },
    )
  }
}
