/**
 * A repository as a fleet has it: ten releases under two delegations, three signature schemes, a root
 * that was rotated, the director's field. For the differential test and the benchmark.
 */
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { sha256Hex } from '../../../../shared/kernel/sha256.ts'
import { generatePrivateKey, nodeSigner } from '../../../../shared/node/signer-node.ts'
import type { SyncSigner } from '../../../../shared/signing/keys.ts'
import { releaseTargets, type TargetEntry } from '../../../../shared/signing/tuf/publish.ts'
import { signerNumber } from '../build-assignment.ts'
import { delegationTo, TestRepository } from './build-repository.ts'

const YEAR_MS = 365 * 86_400_000
const FILES = ['manifest.json', 'fp32.onnx', 'int8.onnx', 'golden.bin']

export const MODEL_TARGET = 'motor/1.1.0/fp32.onnx'
export const MODEL_CONTENT = 'the model itself'

function release(n: number): readonly TargetEntry[] {
  const facts = { model: 'motor', version: `1.${n}.0`, profiles: ['raspberry-pi-5'] }
  const files = FILES.map((file) => ({
    file,
    sha256: sha256Hex(MODEL_CONTENT),
    length: MODEL_CONTENT.length,
  }))
  return releaseTargets({ ...facts, releaseCounter: n, minCounter: 0 }, files)
}

/** @param mixed ECDSA and RSA for the online roles; else Ed25519 throughout. */
export function modelRepository(nowMs: number, mixed: boolean): TestRepository {
  const far = nowMs + YEAR_MS
  const of = (scheme: 'ecdsa-sha2-nistp256' | 'rsassa-pss-sha256', n: number): SyncSigner =>
    mixed ? nodeSigner(generatePrivateKey(scheme)) : signerNumber(n)
  const numbers = Array.from({ length: 8 }, (_, i) => i)
  const repository = new TestRepository((model) => {
    model.expiresMs = { root: far, timestamp: far, snapshot: far, targets: far }
    model.signers.timestamp = [of('ecdsa-sha2-nistp256', 50)]
    model.signers.snapshot = [of('rsassa-pss-sha256', 51)]
    model.director = { keys: [signerNumber(1).key], threshold: 1, directorEpoch: 3 }
    model.delegations = ['production', 'staging'].map((name) =>
      delegationTo(name, { paths: ['*/*/*'] }),
    )
    model.delegated.set('production', {
      ...{ version: 1, delegations: [] },
      targets: numbers.flatMap(release),
    })
    model.delegated.set('staging', {
      ...{ version: 1, delegations: [] },
      targets: [...release(8), ...release(9)],
    })
  })
  repository.nextRoot((model) => {
    model.signers.root = [signerNumber(52)]
  })
  return repository
}

/** Serves `/metadata` and `/targets`; every target has the same content. */
export async function serveRepository(
  repository: TestRepository,
): Promise<{ url: string; server: Server }> {
  const server = createServer((request, response) => {
    const url = request.url ?? ''
    const isTarget = /^\/targets\/motor\/[\d.]+\/[0-9a-f]{64}\./.test(url)
    const body =
      repository.files.get(url.replace('/metadata/', '')) ?? (isTarget ? MODEL_CONTENT : undefined)
    response.statusCode = body === undefined ? 404 : 200
    response.end(body)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, server }
}
