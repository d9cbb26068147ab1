/** Two publishers, new keys and revocation, with the real command against a real controller. */
import { cp, mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import {
  type ControllerProgram,
  removeFolder,
  scratchFolder,
  startController,
} from '../../fixtures/controller-program.ts'

const MODEL = new URL('../../../controller/demo/models/motor-vibration/', import.meta.url).pathname
const RELEASE = 'motor-vibration@1.0.0'

let controller: ControllerProgram
let ada: string
let bob: string
beforeAll(async () => {
  ada = await scratchFolder('ada')
  bob = await scratchFolder('bob')
  controller = await startController(ada)
}, 60_000)
afterAll(async () => {
  await controller.stop()
  await removeFolder(ada)
  await removeFolder(bob)
})

async function as(home: string, ...args: string[]) {
  const { code, stdout, stderr } = await controller.linnet([...args, '--json'], {
    LINNET_HOME: home,
  })
  const problem = /"code":"([^"]+)"/.exec(stderr)?.[1]
  return { code, problem, data: code === 0 ? JSON.parse(stdout) : undefined }
}

test('a release needs the signatures of two people on two machines', async () => {
  await as(ada, 'key', 'new')
  const { stdout } = await controller.linnet(['key', 'publisher'], { LINNET_HOME: bob })
  expect(JSON.parse(stdout)).toMatchObject({ keytype: 'ed25519' })
  const publicKey = join(bob, 'bob.json')
  await writeFile(publicKey, stdout)
  const many = await as(ada, 'key', 'rotate', '--threshold', '2')
  expect(many.problem).toBe('key.threshold')
  const two = await as(ada, 'key', 'rotate', '--add-publisher', publicKey, '--threshold', '2')
  expect(two.data).toEqual({ rootVersion: 2, directorEpoch: 1 })
  expect((await as(ada, 'key', 'show')).data).toMatchObject({ threshold: 2, rootVersion: 2 })

  await as(ada, 'release', 'create', '--spec', join(MODEL, '1.0.0/release.json'))
  await as(ada, 'release', 'sign', RELEASE)
  expect((await as(ada, 'release', 'publish', RELEASE)).problem).toBe('tuf.signature')
  expect((await as(ada, 'release', 'cosign', '--yes')).data).toMatchObject({
    signatures: 1,
    threshold: 2,
  })
  expect((await as(ada, 'release', 'publish', RELEASE)).problem).toBe('tuf.signature')

  await mkdir(join(bob, 'publisher'), { recursive: true })
  for (const file of ['root.json', 'targets.json']) {
    await cp(join(ada, 'publisher', file), join(bob, 'publisher', file))
  }
  const second = await as(bob, 'release', 'cosign', '--yes')
  expect(second.data).toMatchObject({ signatures: 2, changes: [`adds ${RELEASE}`] })
  const signed = join(bob, 'publisher/targets.json')
  const published = await as(ada, 'release', 'publish', RELEASE, '--targets', signed)
  expect(published.data).toMatchObject({ releases: [RELEASE] })
  const { data } = await as(ada, 'release', 'show', RELEASE)
  expect(data.signedBy).toHaveLength(2)
}, 120_000)

test('every key can be replaced, and the repository verifies on', async () => {
  const rotated = await as(
    ada,
    'key',
    'rotate',
    '--director',
    '--snapshot',
    '--timestamp',
    '--root',
  )
  expect(rotated.data).toEqual({ rootVersion: 3, directorEpoch: 2 })
  const left = (await readdir(join(ada, 'keys'))).filter((name) => name.includes('next'))
  expect(left).toEqual([])
  // The new root key signs the next one; one publisher is enough again.
  const alone = await as(ada, 'key', 'rotate', '--threshold', '1')
  expect(alone.data).toEqual({ rootVersion: 4, directorEpoch: 2 })
  const own = await as(ada, 'key', 'rotate', '--publisher')
  expect(own.data).toEqual({ rootVersion: 5, directorEpoch: 2 })
  const renewed = await as(ada, 'release', 'sign', '--renew')
  expect((await as(ada, 'release', 'publish')).code).toBe(0)
  expect(renewed.data.targetsVersion).toBe(2)
  expect((await as(ada, 'audit', 'verify')).code).toBe(0)
}, 120_000)

test('a revoked release is archived, and only once', async () => {
  const revoked = await as(ada, 'release', 'revoke', RELEASE, '--yes')
  expect(revoked.data).toMatchObject({ targetsVersion: 3, published: true })
  expect((await as(ada, 'release', 'show', RELEASE)).data.stage).toBe('archived')
  expect((await as(ada, 'release', 'revoke', RELEASE, '--yes')).problem).toBe('release.not_found')
  const root = JSON.parse(await readFile(join(ada, 'publisher/root.json'), 'utf8'))
  expect(root.signed.version).toBe(5)
}, 60_000)
