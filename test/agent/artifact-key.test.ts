/** What opens the artifacts of a device, and what is said when it does not. */
import { chmod, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type ArtifactSecret, openArtifactKey } from '../../agent/artifact/artifact-key.ts'
import { ProblemError } from '../../shared/kernel/result.ts'

let home: string
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'linnet-key-'))
})
afterEach(() => rm(home, { recursive: true, force: true }))

const record = () => join(home, 'artifact-key.json')
const keyFile = (name = 'artifact.key'): ArtifactSecret => ({
  kind: 'key-file',
  path: join(home, name),
})
/** As cheap as the schema allows: the cost itself is scrypt's. */
const passphrase = (text: string): ArtifactSecret => ({
  ...{ kind: 'passphrase', passphrase: text, log2Cost: 10 },
})
const open = (secret: ArtifactSecret | undefined) => openArtifactKey(record(), secret)
const codeOf = (opening: Promise<unknown>) =>
  opening.then(
    () => 'ok',
    (cause: unknown) => (cause instanceof ProblemError ? cause.problem.code : String(cause)),
  )

describe('a device without the option', () => {
  it('has no key, and no record of one', async () => {
    expect(await open(undefined)).toBeUndefined()
    expect(await codeOf(stat(record()))).toMatch('ENOENT')
  })

  it('is told what to do where its artifacts are encrypted', async () => {
    await open(passphrase('correct horse'))
    const opening = open(undefined)
    await expect(opening).rejects.toMatchObject({
      problem: { code: 'artifact.encrypted', expected: expect.stringMatching('passphrase') },
    })
    await expect(open(undefined)).rejects.toMatchObject({
      problem: { next: expect.stringMatching('delete artifacts/') },
    })
  })
})

describe('a key file', () => {
  it('is made with mode 0600 on the first start and opens the same key on the next', async () => {
    const made: string[] = []
    const first = await openArtifactKey(record(), keyFile(), (path) => made.push(path))
    expect(first).toHaveLength(32)
    expect(made).toEqual([join(home, 'artifact.key')])
    expect((await stat(join(home, 'artifact.key'))).mode & 0o777).toBe(0o600)
    expect((await stat(record())).mode & 0o777).toBe(0o600)
    expect(await open(keyFile())).toEqual(first)
  })

  it('may be brought along: any 32 bytes or more', async () => {
    await writeFile(join(home, 'mine'), new Uint8Array(32).fill(3), { mode: 0o400 })
    const first = await open(keyFile('mine'))
    expect(await open(keyFile('mine'))).toEqual(first)
    await writeFile(join(home, 'short'), new Uint8Array(31), { mode: 0o600 })
    expect(await codeOf(openArtifactKey(join(home, 'other.json'), keyFile('short')))).toBe(
      'artifact.key_malformed',
    )
  })

  it.each([0o640, 0o604, 0o620, 0o666])('with mode %o is refused', async (mode) => {
    await open(keyFile())
    await chmod(join(home, 'artifact.key'), mode)
    await expect(open(keyFile())).rejects.toMatchObject({
      problem: { code: 'artifact.key_permissions', found: `mode 0${mode.toString(8)}` },
    })
  })

  it.each([
    [0o400, 'ok'],
    [0o440, 'ok'],
    [0o460, 'artifact.key_permissions'],
    [0o444, 'artifact.key_permissions'],
  ])('that is a credential of its service, with mode %o: %s', async (mode, code) => {
    const credential = { ...keyFile('credential'), isCredential: true } as const
    await writeFile(join(home, 'credential'), new Uint8Array(32).fill(3))
    await chmod(join(home, 'credential'), mode)
    expect(await codeOf(open(credential))).toBe(code)
  })

  it('that should be a credential is not made', async () => {
    const credential = { ...keyFile('credential'), isCredential: true } as const
    expect(await codeOf(open(credential))).toBe('artifact.key_missing')
    expect(await codeOf(stat(join(home, 'credential')))).toMatch('ENOENT')
  })

  it('that is gone is not made anew: what it encrypted could never be opened', async () => {
    await open(keyFile())
    await rm(join(home, 'artifact.key'))
    expect(await codeOf(open(keyFile()))).toBe('artifact.key_missing')
    expect(await codeOf(stat(join(home, 'artifact.key')))).toMatch('ENOENT')
  })

  it('of another device opens nothing', async () => {
    await open(keyFile())
    await openArtifactKey(join(home, 'other.json'), keyFile('other.key'))
    expect(await codeOf(open(keyFile('other.key')))).toBe('artifact.key_wrong')
  })
})

describe('a passphrase', () => {
  it('opens the same key again, and no other one does', async () => {
    const first = await open(passphrase('correct horse'))
    expect(await open(passphrase('correct horse'))).toEqual(first)
    expect(await codeOf(open(passphrase('correct horsf')))).toBe('artifact.key_wrong')
    expect(await codeOf(open(keyFile()))).toBe('artifact.key_wrong')
  })

  it('is long enough when it is first given', async () => {
    expect(await codeOf(open(passphrase('seven c')))).toBe('artifact.passphrase_short')
    expect(await codeOf(stat(record()))).toMatch('ENOENT')
  })

  it('stands nowhere on the disk, nor does the key', async () => {
    const key = (await open(passphrase('correct horse'))) as Uint8Array
    const text = await readFile(record(), 'utf8')
    expect(text).not.toContain('correct horse')
    for (const encoding of ['base64', 'base64url', 'hex'] as const) {
      expect(text).not.toContain(Buffer.from(key).toString(encoding))
    }
  })
})

describe('a record', () => {
  it('that is no record is told, never written over', async () => {
    await writeFile(record(), '{}')
    expect(await codeOf(open(keyFile()))).toBe('artifact.key_malformed')
    expect(await readFile(record(), 'utf8')).toBe('{}')
  })

  it('whose cost of guessing was lowered does not open', async () => {
    await open({ kind: 'passphrase', passphrase: 'correct horse', log2Cost: 11 })
    const text = await readFile(record(), 'utf8')
    await writeFile(record(), text.replace('"log2Cost": 11', '"log2Cost": 10'))
    expect(await codeOf(open(passphrase('correct horse')))).toBe('artifact.key_wrong')
  })
})
