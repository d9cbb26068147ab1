/** Where the secrets of an agent come from; what came by the environment is not passed on. */
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { parseArguments } from '../../agent/arguments.ts'
import { artifactSecret, enrolmentToken } from '../../agent/secrets.ts'
import { unwrap } from '../../shared/kernel/result.ts'
import { formatEnrolmentToken } from '../../shared/signing/enrolment-token.ts'

let home: string
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'linnet-secrets-'))
})
afterEach(() => rm(home, { recursive: true, force: true }))

const optionsOf = (...more: string[]) =>
  unwrap(parseArguments(['--controller', 'http://plant', '--profile', 'intel-n100', ...more]))
const file = async (name: string, text: string, mode = 0o600) => {
  await writeFile(join(home, name), text)
  await chmod(join(home, name), mode)
  return join(home, name)
}
const TOKEN = formatEnrolmentToken({
  ...{ fleet: 'plant', id: 't1', secret: 's'.repeat(32), rootSha256: 'a'.repeat(64) },
})

describe('the enrolment token', () => {
  it('comes from an argument, a file or the environment, in this order', async () => {
    const path = await file('token', 'from-file\n')
    const environment = () => ({ LINNET_ENROLMENT_TOKEN: 'from-environment' })
    const both = optionsOf('--token', 'from-argument', '--token-file', path)
    expect(await enrolmentToken(both, environment())).toBe('from-argument')
    expect(await enrolmentToken(optionsOf('--token-file', path), environment())).toBe('from-file')
    expect(await enrolmentToken(optionsOf(), environment())).toBe('from-environment')
    expect(await enrolmentToken(optionsOf(), {})).toBeUndefined()
  })

  it('is read from LINNET_TOKEN too, but an operator’s token of that name is not one', async () => {
    expect(await enrolmentToken(optionsOf(), { LINNET_TOKEN: TOKEN })).toBe(TOKEN)
    expect(await enrolmentToken(optionsOf(), { LINNET_TOKEN: 'lnt_operator' })).toBeUndefined()
  })

  it('is taken out of the environment that child processes inherit', async () => {
    const environment = { LINNET_ENROLMENT_TOKEN: TOKEN, LINNET_TOKEN: TOKEN, PATH: '/bin' }
    await enrolmentToken(optionsOf(), environment)
    expect(environment).toEqual({ PATH: '/bin' })
  })

  it('from a file that is not there is a usage error', async () => {
    const reading = enrolmentToken(optionsOf('--token-file', join(home, 'none')), {})
    await expect(reading).rejects.toMatchObject({ problem: { code: 'usage' } })
  })
})

describe('what opens the artifacts', () => {
  it('is nothing without the option, and a passphrase that would protect nothing is refused', async () => {
    expect(await artifactSecret(optionsOf(), home, {})).toBeUndefined()
    const environment = { LINNET_ARTIFACT_PASSPHRASE: 'correct horse' }
    const reading = artifactSecret(optionsOf(), home, environment)
    await expect(reading).rejects.toMatchObject({
      problem: { code: 'usage', expected: expect.stringMatching('--encrypt-artifacts') },
    })
    expect(environment).toEqual({})
  })

  it('is a key file in the home, one elsewhere, or a passphrase', async () => {
    const encrypted = optionsOf('--encrypt-artifacts')
    expect(await artifactSecret(encrypted, home, {})).toEqual({
      ...{ kind: 'key-file', path: join(home, 'artifact.key') },
    })
    const elsewhere = optionsOf('--artifact-key-file', '/run/key')
    expect(await artifactSecret(elsewhere, home, {})).toEqual({
      kind: 'key-file',
      path: '/run/key',
    })
    const credential = { kind: 'key-file', path: '/run/key', isCredential: true }
    expect(await artifactSecret(elsewhere, home, { CREDENTIALS_DIRECTORY: '/run/' })).toEqual(
      credential,
    )
    for (const folder of ['/', '/run/key', '/runs', '']) {
      const secret = await artifactSecret(elsewhere, home, { CREDENTIALS_DIRECTORY: folder })
      expect(secret).toEqual({ kind: 'key-file', path: '/run/key' })
    }
    const environment = { LINNET_ARTIFACT_PASSPHRASE: 'correct horse' }
    const passphrase = { kind: 'passphrase', passphrase: 'correct horse' }
    expect(await artifactSecret(encrypted, home, environment)).toEqual(passphrase)
    const fromFile = optionsOf('--artifact-passphrase-file', await file('words', 'correct horse\n'))
    expect(await artifactSecret(fromFile, home, {})).toEqual(passphrase)
  })

  it('is one of them: two, an empty one and one that others may read are refused', async () => {
    const codeOf = (options: ReturnType<typeof optionsOf>, environment = {}) =>
      artifactSecret(options, home, environment).catch(({ problem }) => problem.code)
    const environment = { LINNET_ARTIFACT_PASSPHRASE: 'correct horse' }
    expect(await codeOf(optionsOf('--artifact-key-file', '/k'), environment)).toBe('usage')
    const empty = await file('empty', '\n')
    expect(await codeOf(optionsOf('--artifact-passphrase-file', empty))).toBe('usage')
    const open = await file('open', 'correct horse', 0o644)
    expect(await codeOf(optionsOf('--artifact-passphrase-file', open))).toBe(
      'artifact.key_permissions',
    )
  })
})
