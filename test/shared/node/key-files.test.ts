import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { utf8 } from '../../../shared/kernel/bytes.ts'
import { readFileBounded, writeFileAtomic } from '../../../shared/node/atomic-file.ts'
import { loadSigner, readPublicKey, writeKeyFile } from '../../../shared/node/key-files.ts'
import { generatePrivateKey, nodeSigner } from '../../../shared/node/signer-node.ts'
import { nodeVerifier } from '../../../shared/node/verifier-node.ts'

let folder = ''
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'linnet-keys-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

const cheap = { log2Cost: 10 }

describe('key files', () => {
  it('give back the key that was written, and only with its passphrase', async () => {
    const path = join(folder, 'root.json')
    const privateKey = generatePrivateKey('ed25519')
    const key = await writeKeyFile(path, privateKey, { passphrase: 'linen and flax', ...cheap })
    const signer = await loadSigner(path, 'linen and flax')
    expect(signer.key).toEqual(key)
    const message = utf8('m')
    expect(nodeVerifier.verify(key, message, signer.sign(message))).toBe(true)
    await expect(loadSigner(path, 'linen')).rejects.toMatchObject(code('key_file.passphrase'))
    await expect(loadSigner(path)).rejects.toMatchObject(code('key_file.passphrase_needed'))
  })

  it('show the public half without the passphrase', async () => {
    const path = join(folder, 'shown.json')
    const key = await writeKeyFile(path, generatePrivateKey('ecdsa-sha2-nistp256'), {
      passphrase: 'p',
      ...cheap,
    })
    expect(await readPublicKey(path)).toEqual(key)
  })

  it('are readable by their owner alone, even when they replace a file that was not', async () => {
    const path = join(folder, 'mode.json')
    await writeFile(path, 'old')
    await chmod(path, 0o644)
    await writeKeyFile(path, generatePrivateKey('ed25519'))
    expect((await stat(path)).mode & 0o777).toBe(0o600)
  })

  it('hold nothing private in the clear when encrypted, and load unattended when not', async () => {
    const path = join(folder, 'device.json')
    const privateKey = generatePrivateKey('ed25519')
    const pkcs8 = privateKey.export({ format: 'der', type: 'pkcs8' }).toString('base64')
    await writeKeyFile(path, privateKey)
    expect(await readFile(path, 'utf8')).toContain(pkcs8)
    expect((await loadSigner(path)).key).toEqual(nodeSigner(privateKey).key)
    await writeKeyFile(path, privateKey, { passphrase: 'p', ...cheap })
    expect(await readFile(path, 'utf8')).not.toContain(pkcs8.slice(24))
  })

  it('refuse a file whose public half was swapped', async () => {
    const path = join(folder, 'swapped.json')
    await writeKeyFile(path, generatePrivateKey('ed25519'), { passphrase: 'p', ...cheap })
    const other = join(folder, 'other.json')
    await writeKeyFile(other, generatePrivateKey('ed25519'))
    const [mine, theirs] = await Promise.all(
      [path, other].map(async (file) => JSON.parse(await readFile(file, 'utf8'))),
    )
    await writeFile(path, JSON.stringify({ ...mine, key: theirs.key }))
    await expect(loadSigner(path, 'p')).rejects.toMatchObject(code('key_file.mismatch'))
    await writeFile(path, JSON.stringify({ ...mine, key: theirs.key, keyid: theirs.keyid }))
    await expect(loadSigner(path, 'p')).rejects.toMatchObject(code('key_file.passphrase'))
    await writeFile(path, JSON.stringify({ ...theirs, private: mine.private }))
    await expect(loadSigner(path, 'p')).rejects.toMatchObject(code('key_file.passphrase'))
  })

  it('say when there is none, or when it is something else', async () => {
    const missing = join(folder, 'none.json')
    await expect(loadSigner(missing)).rejects.toMatchObject(code('key_file.missing'))
    const path = join(folder, 'junk.json')
    for (const text of ['', '{}', '[', '{"schema":"linnet.key.v1"}']) {
      await writeFile(path, text)
      await expect(loadSigner(path)).rejects.toMatchObject(code('key_file.malformed'))
    }
  })
})

describe('atomic files', () => {
  it('replace the content and leave nothing beside it', async () => {
    const path = join(folder, 'deep/er/state.json')
    await writeFileAtomic(path, 'one')
    await writeFileAtomic(path, 'two')
    expect(await readFile(path, 'utf8')).toBe('two')
    expect(await readdir(join(folder, 'deep/er'))).toEqual(['state.json'])
  })

  it('clean up when the rename fails', async () => {
    await expect(writeFileAtomic(join(folder, 'deep'), 'x')).rejects.toThrow()
    expect((await readdir(folder)).filter((name) => name.endsWith('.tmp'))).toEqual([])
  })

  it('are read up to a limit', async () => {
    const path = join(folder, 'ten')
    await writeFileAtomic(path, '0123456789')
    expect((await readFileBounded(path, 10))?.length).toBe(10)
    await expect(readFileBounded(path, 9)).rejects.toMatchObject(code('file.too_large'))
    expect(await readFileBounded(join(folder, 'nothing'), 9)).toBeUndefined()
  })
})

function code(expected: string): { problem: { code: string } } {
  return { problem: { code: expected } }
}
