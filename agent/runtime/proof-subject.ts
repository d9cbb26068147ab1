/**
 * What a proof is about: releases may share a model file and differ in what it is held to, so all of
 * this names a proof, and not the digest of the file alone. Pure.
 */
import { toHex, utf8 } from '../../shared/kernel/bytes.ts'
import { unwrap } from '../../shared/kernel/result.ts'
import { sha256 } from '../../shared/kernel/sha256.ts'
import { canonicalBytes } from '../../shared/signing/canonical-json.ts'
import type { ResolvedRelease } from '../ports.ts'

export interface ProofSubject {
  readonly source: string
  readonly golden: string
  readonly tolerance: string
  /** Digest of the tensors as the manifest tells them: they say what may be batched. */
  readonly tensors: string
}

export function proofSubject({
  variant: { artifact, golden, tolerance },
  manifest: { inputs, outputs },
}: Pick<ResolvedRelease, 'variant' | 'manifest'>): ProofSubject {
  const { absolute, relative, nan = 'never' } = tolerance
  return {
    ...{ source: artifact.sha256, golden: golden.sha256 },
    tolerance: `absolute=${absolute} relative=${relative} nan=${nan}`,
    tensors: toHex(sha256(unwrap(canonicalBytes({ inputs, outputs })))),
  }
}

/** For a file: 64 hexadecimal digits. */
export function proofName({ source, golden, tolerance, tensors }: ProofSubject): string {
  return toHex(sha256(utf8(`${source} ${golden} ${tolerance} ${tensors}`)))
}
