/**
 * Envelopes `{ signed, signatures }`: reading untrusted ones under limits, counting a threshold of
 * distinct keys, and signing. Invariant: nothing in `signed` is looked at before its signatures
 * hold, save what the caller needs to choose the keys. What `signed` means is left to others.
 */
import { fromHex, toHex, utf8 } from '../kernel/bytes.ts'
import { ok, type Result, refuse } from '../kernel/result.ts'
import {
  canonicalBytes,
  isJsonObject,
  type Json,
  type JsonLimits,
  type JsonObject,
  member,
  parseJson,
} from './canonical-json.ts'
import {
  type Checking,
  type Envelope,
  keyId,
  keyIdentity,
  type PublicKey,
  type Signature,
  type SyncSigner,
  verified,
} from './keys.ts'

/** The keys that may sign something, and how many of them must. */
export interface KeySet {
  readonly keys: ReadonlyMap<string, PublicKey>
  readonly threshold: number
}

/** An envelope whose form is right and whose signatures are not checked yet. */
export interface OpenedEnvelope {
  readonly signed: JsonObject
  readonly signatures: readonly Signature[]
  /** What the signatures cover. */
  readonly signedBytes: Uint8Array
}

/** Each may cost a check: 32 of RSA-4096 take 10 ms. */
const SIGNATURES_MAX = 32
const SIGNATURE_HEX_MAX = 1_024

/** Codes `json.*`, `envelope.malformed`. Fields beside the two are ignored. */
export function openEnvelope(bytes: Uint8Array, limits: JsonLimits): Result<OpenedEnvelope> {
  const parsed = parseJson(bytes, limits)
  if (!parsed.ok) return parsed
  if (!isJsonObject(parsed.value)) return malformed('an object')
  const signed = member(parsed.value, 'signed')
  if (!isJsonObject(signed)) return malformed('an object `signed`')
  const signatures = readSignatures(member(parsed.value, 'signatures'))
  if (!signatures.ok) return signatures
  const canonical = canonicalBytes(signed)
  if (!canonical.ok) return canonical
  return ok({ signed, signatures: signatures.value, signedBytes: canonical.value })
}

function readSignatures(value: Json | undefined): Result<readonly Signature[]> {
  if (!Array.isArray(value)) return malformed('a list `signatures`')
  if (value.length > SIGNATURES_MAX) return malformed(`at most ${SIGNATURES_MAX} signatures`)
  const signatures: Signature[] = []
  const seen = new Set<string>()
  for (const item of value as readonly Json[]) {
    const keyid = isJsonObject(item) ? member(item, 'keyid') : undefined
    const sig = isJsonObject(item) ? member(item, 'sig') : undefined
    if (typeof keyid !== 'string' || typeof sig !== 'string') return malformed('keyid and sig')
    if (sig.length > SIGNATURE_HEX_MAX) return malformed('a signature of at most 512 bytes')
    if (seen.has(keyid)) return malformed('one signature for each keyid', keyid)
    seen.add(keyid)
    signatures.push({ keyid, sig })
  }
  return ok(signatures)
}

function malformed(expected: string, found?: string): Result<never> {
  const details = found === undefined ? { expected } : { expected, found: found.slice(0, 80) }
  return refuse('envelope.malformed', 'The envelope has not the form of signed metadata.', details)
}

/**
 * How many distinct keys of `set` signed, up to the threshold. The same key under two key ids
 * counts once; key ids that `set` does not know, and signatures that do not hold, count nothing.
 */
function* countSigners(envelope: OpenedEnvelope, set: KeySet): Checking<number> {
  const signers = new Set<string>()
  for (const { keyid, sig } of envelope.signatures) {
    if (signers.size >= set.threshold) break
    const key = set.keys.get(keyid)
    const signature = fromHex(sig.toLowerCase())
    if (key === undefined || signature === undefined || signature.length === 0) continue
    if (signers.has(keyIdentity(key))) continue
    if (yield* verified(key, envelope.signedBytes, signature)) signers.add(keyIdentity(key))
  }
  return signers.size
}

/** True when at least `threshold` distinct keys of `set` signed; a threshold below 1 never is. */
export function* isSignedBy(envelope: OpenedEnvelope, set: KeySet): Checking<boolean> {
  if (set.threshold < 1) return false
  return (yield* countSigners(envelope, set)) >= set.threshold
}

/** Signs the canonical form; code `json.not_canonical` when there is none. */
export function signEnvelope<T>(signed: T, signers: readonly SyncSigner[]): Result<Envelope<T>> {
  const message = canonicalBytes(signed)
  if (!message.ok) return message
  const signatures = signers.map((signer) => signatureBy(signer, message.value))
  return ok({ signed, signatures })
}

function signatureBy(signer: SyncSigner, message: Uint8Array): Signature {
  return { keyid: keyId(signer.key), sig: toHex(signer.sign(message)) }
}

/** The bytes as they are stored and sent. Readers canonicalise again, so the spacing is free. */
export function envelopeBytes(envelope: Envelope<unknown>): Uint8Array {
  return utf8(JSON.stringify(envelope))
}
