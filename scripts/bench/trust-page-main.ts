/** The page of the `trust` benchmark: the same verification with the browser's two verifiers. */
import { webVerifier } from '../../agent/browser/web-verifier.ts'
import type { Verifier } from '../../shared/signing/keys.ts'
import { refresh } from '../../shared/signing/tuf/client.ts'
import { runTufAsync, type TufPorts } from '../../shared/signing/tuf/effects.ts'
import { findTargets } from '../../shared/signing/tuf/search.ts'
import { nobleVerifier } from '../../shared/signing/verifier-noble.ts'

interface Task {
  readonly files: Readonly<Record<string, string>>
  readonly targets: readonly string[]
  readonly nowMs: number
  readonly rounds: number
}

async function verifyOnce(task: Task, verifier: Verifier): Promise<number> {
  const bytesOf = (path: string) => {
    const text = task.files[path]
    return text === undefined ? undefined : new TextEncoder().encode(text)
  }
  const trusted = new Map([['root', bytesOf('1.root.json')!]])
  const ports: TufPorts = {
    verifier,
    load: (role) => trusted.get(role),
    fetch: (path) => {
      const bytes = bytesOf(path)
      return bytes === undefined ? { kind: 'absent' } : { kind: 'fetched', bytes }
    },
    persist: (role, bytes) => void trusted.set(role, new Uint8Array(bytes)),
    forget: (role) => void trusted.delete(role),
  }
  const startedMs = performance.now()
  const set = await runTufAsync(refresh(task.nowMs), ports)
  if (!set.ok) throw new Error(set.error.message)
  const found = await runTufAsync(findTargets(set.value, task.targets), ports)
  if (!found.ok) throw new Error(found.error.message)
  return performance.now() - startedMs
}

async function verifyAll(task: Task): Promise<{ webCrypto: number[]; plain: number[] }> {
  const measured = { webCrypto: [] as number[], plain: [] as number[] }
  for (let round = 0; round < task.rounds; round++) {
    measured.webCrypto.push(await verifyOnce(task, webVerifier))
    measured.plain.push(await verifyOnce(task, nobleVerifier))
  }
  return measured
}

Object.assign(globalThis, { verifyAll })
