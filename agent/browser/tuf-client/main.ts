/**
 * The page of `linnet tuf-client --browser`: the TUF client as browsers run it, WebCrypto included.
 * A page has no files and may not call other hosts, so both go through functions that the program
 * puts into the page; what they give is trusted as little here as on the network.
 */
import { fromBase64, toBase64 } from '../../../shared/kernel/bytes.ts'
import { ok, type Problem, type Result, refuse } from '../../../shared/kernel/result.ts'
import { refresh } from '../../../shared/signing/tuf/client.ts'
import { type FetchReply, runTufAsync, type TufPorts } from '../../../shared/signing/tuf/effects.ts'
import { findTarget } from '../../../shared/signing/tuf/search.ts'
import { targetUrlPath } from '../../../shared/signing/tuf/store-layout.ts'
import { checkFile } from '../../../shared/signing/tuf/target-file.ts'
import { webVerifier } from '../web-verifier.ts'

/** Bytes travel as base64. */
interface BridgeReply {
  readonly kind: 'fetched' | 'absent' | 'failed'
  readonly bytes?: string
  readonly problem?: Problem
}

/** What the program provides. */
interface Bridge {
  bridgeLoad(role: string): Promise<string | null>
  bridgePersist(role: string, bytes: string): Promise<void>
  bridgeForget(role: string): Promise<void>
  bridgeFetch(what: 'metadata' | 'target', path: string, bytesMax: number): Promise<BridgeReply>
  bridgeHeldTarget(bytesMax: number): Promise<string | null>
  bridgeKeepTarget(bytes: string): Promise<void>
}

const bridge = globalThis as unknown as Bridge

function bytesOf(text: string | null | undefined): Uint8Array | undefined {
  return text === null || text === undefined ? undefined : fromBase64(text)
}

async function fetchBytes(
  what: 'metadata' | 'target',
  path: string,
  bytesMax: number,
): Promise<FetchReply> {
  const reply = await bridge.bridgeFetch(what, path, bytesMax)
  const bytes = bytesOf(reply.bytes)
  if (reply.kind === 'fetched' && bytes !== undefined) return { kind: 'fetched', bytes }
  if (reply.kind === 'absent') return { kind: 'absent' }
  const unknown = { code: 'tuf.unavailable', message: `${path} did not arrive.` }
  return { kind: 'failed', problem: reply.problem ?? unknown }
}

const ports: TufPorts = {
  verifier: webVerifier,
  load: async (role) => bytesOf(await bridge.bridgeLoad(role)),
  fetch: (path, bytesMax) => fetchBytes('metadata', path, bytesMax),
  persist: (role, bytes) => bridge.bridgePersist(role, toBase64(bytes)),
  forget: (role) => bridge.bridgeForget(role),
}

/** @param target name of a target to download; null only refreshes. */
async function runTufClient(nowMs: number, target: string | null): Promise<Result<undefined>> {
  const trusted = await runTufAsync(refresh(nowMs), ports)
  if (!trusted.ok || target === null) return trusted.ok ? ok() : trusted
  const found = await runTufAsync(findTarget(trusted.value, target), ports)
  if (!found.ok) return found
  const { file } = found.value
  const path = targetUrlPath(target, file, trusted.value.root.consistentSnapshot)
  if (path === undefined) {
    return refuse('tuf_client.target_path', 'The target path leaves its folder.', { found: target })
  }
  const held = bytesOf(await bridge.bridgeHeldTarget(file.length))
  if (held !== undefined && checkFile(held, file, target).ok) return ok()
  const reply = await fetchBytes('target', path, file.length)
  if (reply.kind === 'failed') return { ok: false, error: reply.problem }
  if (reply.kind === 'absent') return refuse('tuf.unavailable', `There is no ${path}.`)
  const right = checkFile(reply.bytes, file, target)
  if (right.ok) await bridge.bridgeKeepTarget(toBase64(reply.bytes))
  return right
}

Object.assign(globalThis, { runTufClient })
