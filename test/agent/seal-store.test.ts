/** A device that is told to encrypt: what lies there in plain becomes sealed, whenever it is killed. */
import { spawn } from 'node:child_process'
import {
  link,
  mkdir,
  mkdtemp,
  open as openFile,
  readdir,
  readFile,
  rm,
  writeFile,
} from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it, onTestFinished } from 'vitest'
import { artifactCipher, readArtifact } from '../../agent/artifact/artifact-cipher.ts'
import { dropPlainModels, sealStore } from '../../agent/artifact/seal-store.ts'
import { artifactContext } from '../../agent/artifact/sealed-files.ts'
import { unwrap } from '../../shared/kernel/result.ts'
import { sha256Hex } from '../../shared/kernel/sha256.ts'
import { programAt } from '../../shared/node/program.ts'

const KEY = new Uint8Array(32).fill(9)
const HEADER = 'LNSEAL1\n'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'linnet-seal-'))
})
afterEach(() => rm(folder, { recursive: true, force: true }))

const bytesOf = (seed: number, length: number) =>
  Buffer.alloc(length, `model ${seed} of this device`)
async function put(bytes: Uint8Array): Promise<{ sha256: string; length: number }> {
  const sha256 = sha256Hex(bytes)
  await writeFile(join(folder, sha256), bytes)
  return { sha256, length: bytes.length }
}
const isSealed = async (sha256: string) =>
  (await readFile(join(folder, sha256))).toString('latin1', 0, 8) === HEADER
const open = ({ sha256, length }: { sha256: string; length: number }) =>
  readArtifact(join(folder, sha256), { sha256, length }, KEY)

/** What its blocks hold, also once they have no name; closed with the test. */
async function blocksOf(name: string): Promise<() => Promise<'plaintext' | 'nothing'>> {
  const file = await openFile(join(folder, name), 'r')
  onTestFinished(() => file.close())
  return async () => {
    const bytes = Buffer.alloc((await file.stat()).size)
    await file.read(bytes, 0, bytes.length, 0)
    return bytes.some((byte) => byte !== 0) ? 'plaintext' : 'nothing'
  }
}

describe('a store in plain', () => {
  it('is sealed once, and opens with the key alone', async () => {
    const artifacts = [await put(bytesOf(1, 300_001)), await put(bytesOf(2, 1))]
    expect(await sealStore(folder, KEY)).toBe(2)
    expect(await sealStore(folder, KEY)).toBe(0)
    for (const artifact of artifacts) {
      expect(await isSealed(artifact.sha256)).toBe(true)
      expect(sha256Hex(unwrap(await open(artifact)))).toBe(artifact.sha256)
      const { sha256 } = artifact
      const plain = await readArtifact(join(folder, sha256), artifact, undefined)
      expect(plain.ok).toBe(false)
    }
  })

  it('loses its partial downloads and what is not what its name says, and nothing else', async () => {
    const good = await put(bytesOf(1, 100))
    const names = ['a'.repeat(64), `${'b'.repeat(64)}.part`, `${good.sha256}.sealing`, 'notes.txt']
    for (const name of names) await writeFile(join(folder, name), 'left over')
    expect(await sealStore(folder, KEY)).toBe(1)
    expect((await readdir(folder)).toSorted()).toEqual([good.sha256, 'notes.txt'].toSorted())
  })

  it('that is not there yet is nothing to seal', async () => {
    expect(await sealStore(join(folder, 'none'), KEY)).toBe(0)
  })

  it('is whole after kill -9 at any moment, each file plain or sealed', {
    timeout: 60_000,
  }, async () => {
    const artifacts = []
    for (let i = 0; i < 12; i++) artifacts.push(await put(bytesOf(i, 3_000_000 + i)))
    const blocks = await Promise.all(artifacts.map((each) => blocksOf(each.sha256)))
    const { file, execArgv } = programAt(import.meta.url, './seal-store-main')
    for (const delayMs of [0, 5, 10, 20, 40]) {
      const child = spawn(process.execPath, [...execArgv, file, folder], { stdio: 'pipe' })
      const ended = new Promise((done) => child.once('exit', done))
      await new Promise((begun) => child.stdout.once('data', begun))
      await new Promise((passed) => setTimeout(passed, delayMs))
      child.kill('SIGKILL')
      await ended
      for (const artifact of artifacts) {
        const key = (await isSealed(artifact.sha256)) ? KEY : undefined
        const read = await readArtifact(join(folder, artifact.sha256), artifact, key)
        expect(read.ok ? 'whole' : read.error.code).toBe('whole')
      }
    }
    await sealStore(folder, KEY)
    expect((await readdir(folder)).toSorted()).toEqual(artifacts.map((a) => a.sha256).toSorted())
    for (const artifact of artifacts) expect((await open(artifact)).ok).toBe(true)
    for (const read of blocks) expect(await read()).toBe('nothing')
  })

  it.each([
    ['sealed and not yet written over', true],
    ['about to be sealed', false],
  ])('leaves no plaintext when it was killed with one %s', async (_, isRenamed) => {
    const artifact = await put(bytesOf(1, 300_001))
    const read = await blocksOf(artifact.sha256)
    const [path, former] = ['', '.plain'].map((ending) => join(folder, artifact.sha256 + ending))
    await link(path!, former!)
    if (isRenamed) {
      const { sha256 } = artifact
      await artifactCipher(KEY).seal(path!, bytesOf(1, 300_001), artifactContext(sha256))
    }
    expect(await read()).toBe('plaintext')
    expect(await sealStore(folder, KEY)).toBe(isRenamed ? 0 : 1)
    expect(await readdir(folder)).toEqual([artifact.sha256])
    expect((await open(artifact)).ok).toBe(true)
    expect(await read()).toBe('nothing')
  })

  it('writes over what it drops before the name goes', async () => {
    const names = ['a'.repeat(64), `${'b'.repeat(64)}.part`, `.c.${'0'.repeat(12)}.tmp`]
    for (const name of names) await writeFile(join(folder, name), bytesOf(1, 300_000))
    const blocks = await Promise.all(names.map(blocksOf))
    await sealStore(folder, KEY)
    expect(await readdir(folder)).toEqual([])
    for (const read of blocks) expect(await read()).toBe('nothing')
  })
})

describe('what a killed writer left', () => {
  const torn = `.${'a'.repeat(64)}.onnx.0123456789ab.tmp`
  it('is swept from the store and from beside the optimised models', async () => {
    await writeFile(join(folder, torn), 'a model in plain')
    await sealStore(folder, KEY)
    expect(await readdir(folder)).toEqual([])
    await writeFile(join(folder, torn), 'a model in plain')
    await dropPlainModels(folder)
    expect(await readdir(folder)).toEqual([])
  })
})

describe('Optimised model files in plain', () => {
  it('are dropped, since they can be made again; sealed ones and records stay', async () => {
    const qualified = join(folder, 'qualified')
    await mkdir(qualified)
    for (const name of ['a.onnx', 'b.onnx.new', 'c.json']) {
      await writeFile(join(qualified, name), 'in plain')
    }
    await artifactCipher(KEY).seal(join(qualified, 'd.onnx'), bytesOf(1, 10), 'd')
    await dropPlainModels(folder)
    expect((await readdir(qualified)).toSorted()).toEqual(['c.json', 'd.onnx'])
    await dropPlainModels(join(folder, 'none'))
  })
})
