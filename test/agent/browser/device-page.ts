/** The page of the tests of a browser device's parts: storage, key, verifier, downloads. */
import { memoryRecords, openRecords } from '../../../agent/browser/records.ts'
import { createWebArtifactStore } from '../../../agent/browser/web-artifact-store.ts'
import { openWebFiles } from '../../../agent/browser/web-files.ts'
import { openDeviceKey } from '../../../agent/browser/web-identity.ts'
import { createWebSpoolStore, createWebStateStore } from '../../../agent/browser/web-stores.ts'
import { webVerifier } from '../../../agent/browser/web-verifier.ts'
import type { PublicKey } from '../../../shared/signing/keys.ts'
import type { DurableState } from '../../../shared/update/state.ts'

const NAME = 'device-test'
const LOG = { info: () => undefined, warn: () => undefined }
const RETRIEVAL = { deadlineMs: 5_000, bytesPerSecondMin: 1, windowMs: 5_000 }

async function openArtifacts(bytesMax: number, isDurable: boolean) {
  const files = await openWebFiles(await openRecords(NAME), NAME)
  const progress: number[] = []
  const store = createWebArtifactStore({
    files: isDurable ? files : await memoryFiles(),
    ...{ bytesMax, retrieval: RETRIEVAL, onProgress: (_, received) => progress.push(received) },
  })
  return { kind: files.kind, store, progress }
}

/** As in a browser that gives no storage at all. */
async function memoryFiles() {
  const { getDirectory } = StorageManager.prototype
  Object.assign(StorageManager.prototype, { getDirectory: () => Promise.reject(new Error('none')) })
  const files = await openWebFiles(memoryRecords(), NAME)
  Object.assign(StorageManager.prototype, { getDirectory })
  return files
}

const artifactOf = (sha256: string, length: number) => ({ file: 'fp32.onnx', sha256, length })

export const device = {
  async states(save: DurableState | null) {
    const store = createWebStateStore(await openRecords(NAME), LOG)
    if (save !== null) await store.save(save)
    return store.load()
  },
  async putRaw(key: string, value: unknown) {
    await (await openRecords(NAME)).put('device', key, value)
  },
  /** Appends, replaces where told, and reads with a store that knows nothing yet. */
  async spool(append: string[], replace: string[] | null) {
    const records = await openRecords(NAME)
    const store = createWebSpoolStore(records)
    await store.load()
    if (append.length > 0) await store.append(append)
    if (replace !== null) await store.replace(replace)
    return createWebSpoolStore(records).load()
  },
  async fetchArtifact(sha256: string, length: number, bytesMax = 1e9, isDurable = true) {
    const { kind, store, progress } = await openArtifacts(bytesMax, isDurable)
    const signal = new AbortController().signal
    const fetched = await store.fetch(artifactOf(sha256, length), `/files/${sha256}`, signal)
    const read = await store.read(sha256, length)
    const size = read.ok ? read.value.length : read.error.code
    return { kind, fetched, size, progress }
  },
  async collect(keep: string[], wanted: string) {
    const { store } = await openArtifacts(1e9, true)
    await store.collectGarbage(new Set(keep))
    const read = await store.read(wanted, 1e9)
    return read.ok ? 'here' : read.error.code
  },
  /** Changes a stored file behind the store's back. */
  async rot(sha256: string) {
    const files = await openWebFiles(await openRecords(NAME), NAME)
    const bytes = await files.read(sha256)
    if (bytes === undefined) return
    bytes[0] = (bytes[0] ?? 0) ^ 1
    await files.write(sha256, bytes)
  },
  /** The device's key, and a message signed with it; `without` hides an algorithm. */
  async sign(message: number[], without: readonly string[]) {
    const { generateKey } = SubtleCrypto.prototype
    const hidden = function (this: SubtleCrypto, ...args: Parameters<SubtleCrypto['generateKey']>) {
      const [algorithm] = args
      const name = typeof algorithm === 'string' ? algorithm : algorithm.name
      if (without.includes(name)) return Promise.reject(new DOMException('NotSupportedError'))
      return generateKey.apply(this, args)
    }
    Object.assign(SubtleCrypto.prototype, { generateKey: hidden })
    const records = without.length > 0 ? memoryRecords() : await openRecords(NAME)
    const { signer, protection } = await openDeviceKey(records)
    Object.assign(SubtleCrypto.prototype, { generateKey })
    const bytes = Uint8Array.from(message)
    const signature = await signer.sign(bytes)
    const isRight = await webVerifier.verify(signer.key, bytes, signature)
    return { key: signer.key, protection, signature: [...signature], isRight }
  },
  verify: async (key: PublicKey, message: readonly number[], signature: readonly number[]) =>
    webVerifier.verify(key, Uint8Array.from(message), Uint8Array.from(signature)),
}

Object.assign(globalThis, { device })
