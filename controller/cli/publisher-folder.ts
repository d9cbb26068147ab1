/**
 * What a publisher keeps, all under LINNET_HOME: keys (encrypted), the root it trusts, the targets
 * metadata it signed last, and the files of each release. Releases can be created and signed here
 * without a controller.
 */
import { join } from 'node:path'
import { ProblemError, unwrap } from '../../shared/kernel/result.ts'
import { readFileBounded } from '../../shared/node/atomic-file.ts'
import type { JsonObject } from '../../shared/signing/canonical-json.ts'
import { openEnvelope } from '../../shared/signing/envelope.ts'
import { defaultTufLimits, jsonLimits } from '../../shared/signing/tuf/limits.ts'
import { readTargets, type Targets } from '../../shared/signing/tuf/metadata.ts'
import { roleFileName } from '../../shared/signing/tuf/store-layout.ts'

export interface PublisherFolder {
  readonly rootKey: string
  readonly publisherKey: string
  readonly root: string
  /** The newest targets metadata that were signed here, published or not. */
  readonly targets: string
  /** The same of a role that targets delegate to. */
  role(name: string): string
  /** What the TUF client verified of the controller's repository. */
  readonly verified: string
  /** The newest head of the audit trail that was verified on this machine. */
  readonly auditHead: string
  release(model: string, version: string): string
}

export function publisherFolder(home: string, keys?: string): PublisherFolder {
  const keyFolder = keys ?? join(home, 'keys')
  const folder = join(home, 'publisher')
  return {
    rootKey: join(keyFolder, 'root.json'),
    publisherKey: join(keyFolder, 'publisher.json'),
    root: join(folder, 'root.json'),
    targets: join(folder, 'targets.json'),
    role: (name) => join(folder, `role-${roleFileName(name)}`),
    verified: join(folder, 'verified'),
    auditHead: join(folder, 'audit-head.json'),
    release: (model, version) => join(home, 'releases', model, version),
  }
}

export interface SignedTargets {
  readonly bytes: Uint8Array
  readonly signed: JsonObject
  readonly targets: Targets
}

/** @returns undefined where nothing was signed here yet. Errors (thrown): as the readers. */
export async function readSignedTargets(path: string): Promise<SignedTargets | undefined> {
  const bytes = await readFileBounded(path, defaultTufLimits.targetsBytesMax)
  return bytes === undefined ? undefined : parseTargets(bytes)
}

export function parseTargets(bytes: Uint8Array): SignedTargets {
  const limits = jsonLimits(defaultTufLimits.targetsBytesMax)
  const { signed } = unwrap(openEnvelope(bytes, limits))
  return { bytes, signed, targets: unwrap(readTargets(signed)) }
}

/** `motor@1.1.0` from the command line. Errors (thrown): `cli.usage`. */
export function parseReleaseName(text: string): { model: string; version: string } {
  const [, model, version] = /^([a-z0-9][a-z0-9_-]{0,62})@(\d+\.\d+\.\d+)$/.exec(text) ?? []
  if (model !== undefined && version !== undefined) return { model, version }
  throw new ProblemError({
    code: 'cli.usage',
    message: 'A release is named by model and version.',
    expected: 'MODEL@MAJOR.MINOR.PATCH',
    found: text,
  })
}
