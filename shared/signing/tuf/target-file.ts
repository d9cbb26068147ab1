/**
 * What metadata say of a file: its length and hashes, and the check that bytes are that file. The
 * hosts hash large files with their own fast code; `sha256` is the one that Linnet names them by.
 */
import { sha512 } from '@noble/hashes/sha2.js'
import { toHex } from '../../kernel/bytes.ts'
import { ok, type Result } from '../../kernel/result.ts'
import { sha256Hex } from '../../kernel/sha256.ts'
import type { JsonObject } from '../canonical-json.ts'
import type { Fields } from './fields.ts'
import { refuseTuf } from './problems.ts'

export interface TargetFile {
  readonly length: number
  /** Hex digests by algorithm; at least one. */
  readonly hashes: ReadonlyMap<string, string>
  /** What the publisher says of the target; opaque to TUF. */
  readonly custom: JsonObject | undefined
}

const HASHES_MAX = 16

export function readTargetFile(fields: Fields): TargetFile {
  const hashes = readHashes(fields.child('hashes'))
  if (hashes.size === 0) fields.flaw('hashes', 'at least one hash')
  return {
    length: fields.integer('length', 0),
    hashes,
    custom: fields.has('custom') ? fields.child('custom').object : undefined,
  }
}

export function readHashes(fields: Fields): ReadonlyMap<string, string> {
  const names = Object.keys(fields.object)
  if (names.length > HASHES_MAX) fields.flaw('', `at most ${HASHES_MAX} hashes`)
  return new Map(names.slice(0, HASHES_MAX).map((name) => [name, fields.text(name)]))
}

/**
 * Every hash of an algorithm that we know must match, and there must be one (clause 5.7.3). Codes
 * `tuf.endless_data` for too many bytes, `tuf.mix_and_match` for other bytes.
 */
export function checkFile(
  bytes: Uint8Array,
  expected: { readonly length: number | undefined; readonly hashes: ReadonlyMap<string, string> },
  what: string,
): Result<undefined> {
  if (expected.length !== undefined && bytes.length > expected.length) {
    return refuseTuf('tuf.endless_data', `There are more bytes than signed: ${what}.`, {
      expected: `${expected.length} bytes`,
      found: `${bytes.length} bytes`,
    })
  }
  if (expected.length !== undefined && bytes.length < expected.length) {
    return refuseTuf('tuf.mix_and_match', `There are fewer bytes than signed: ${what}.`, {
      expected: `${expected.length} bytes`,
      found: `${bytes.length} bytes`,
    })
  }
  return checkHashes(bytes, expected.hashes, what)
}

function checkHashes(
  bytes: Uint8Array,
  hashes: ReadonlyMap<string, string>,
  what: string,
): Result<undefined> {
  const known = [...hashes].filter(([algorithm]) => DIGESTS.has(algorithm))
  if (hashes.size > 0 && known.length === 0) {
    return refuseTuf('tuf.malformed', `None of the hashes can be checked: ${what}.`, {
      expected: [...DIGESTS.keys()].join(' or '),
      found: [...hashes.keys()].join(', ').slice(0, 80),
    })
  }
  for (const [algorithm, expected] of known) {
    const found = DIGESTS.get(algorithm)?.(bytes)
    if (found !== expected.toLowerCase()) {
      return refuseTuf('tuf.mix_and_match', `The ${algorithm} hash does not match: ${what}.`, {
        expected: expected.slice(0, 128),
        found: found ?? '',
      })
    }
  }
  return ok()
}

const DIGESTS: ReadonlyMap<string, (bytes: Uint8Array) => string> = new Map([
  ['sha256', sha256Hex],
  ['sha512', (bytes: Uint8Array) => toHex(sha512(bytes))],
])
