/** A model with a key of its own, and staging with two publishers: real commands, real controller. */
import { cp, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  type ControllerProgram,
  removeFolder,
  scratchFolder,
  startController,
} from '../../fixtures/controller-program.ts'

const MODELS = new URL('../../../controller/demo/models/motor-vibration/', import.meta.url).pathname
const ONNX = join(MODELS, '1.0.0/fp32.onnx')
const NOWHERE = { LINNET_CONTROLLER: 'http://127.0.0.1:9' }

let controller: ControllerProgram
const homes: string[] = []
async function home(name: string): Promise<string> {
  const folder = await scratchFolder(name)
  homes.push(folder)
  return folder
}
afterAll(async () => {
  for (const folder of homes) await removeFolder(folder)
})

async function run(folder: string, args: readonly string[], env: Record<string, string> = {}) {
  const { code, stdout, stderr } = await controller.linnet([...args, '--json'], {
    LINNET_HOME: folder,
    ...env,
  })
  const problem = /"code":"([^"]+)"/.exec(stderr)?.[1]
  return { code, problem, stderr, data: code === 0 ? JSON.parse(stdout) : undefined }
}
const as = (folder: string, ...args: string[]) => run(folder, args)

/** A publisher on a machine of his own; he has the root and a token, and makes his key. */
async function newPublisher(of: string, name: string): Promise<{ folder: string; key: string }> {
  const folder = await home(name)
  const { stdout } = await controller.linnet(['key', 'publisher'], { LINNET_HOME: folder })
  const key = join(folder, `${name}.json`)
  await writeFile(key, stdout)
  await mkdir(join(folder, 'publisher'), { recursive: true })
  await cp(join(of, 'publisher/root.json'), join(folder, 'publisher/root.json'))
  await cp(join(of, 'token'), join(folder, 'token'))
  return { folder, key }
}

async function create(folder: string, release: string): Promise<void> {
  const [name = '', version = ''] = release.split('@')
  const args = ['release', 'create', '--model', ONNX, '--name', name, '--version', version]
  expect((await as(folder, ...args)).code).toBe(0)
}

describe('a model whose owner has a key of his own', () => {
  let ada: string
  let bob: { folder: string; key: string }
  beforeAll(async () => {
    ada = await home('ada')
    controller = await startController(ada)
    expect((await as(ada, 'key', 'new')).code).toBe(0)
    bob = await newPublisher(ada, 'bob')
    await create(bob.folder, 'camera@1.0.0')
    await create(bob.folder, 'pump@1.0.0')
  }, 90_000)
  afterAll(() => controller.stop())

  test('may sign nothing before, and that model alone after', async () => {
    const delegated = await as(ada, 'key', 'delegate', '--model', 'camera', '--key', bob.key)
    expect(delegated.data).toMatchObject({ targetsVersion: 1, delegated: ['model-camera'] })
    const { data } = await as(ada, 'key', 'show')
    expect(data.delegations).toMatchObject([
      { role: 'model-camera', paths: ['camera/*/*'], threshold: 1, terminating: false },
    ])
    const signed = await as(bob.folder, 'release', 'sign', 'camera@1.0.0')
    expect(signed.data).toMatchObject({ role: 'model-camera', targetsVersion: 1 })
    const published = await as(bob.folder, 'release', 'publish', 'camera@1.0.0')
    expect(published.data).toMatchObject({ releases: ['camera@1.0.0'], waiting: [] })
    expect((await as(ada, 'release', 'show', 'camera@1.0.0')).data.role).toBe('model-camera')
    const other = await as(bob.folder, 'release', 'sign', 'pump@1.0.0')
    expect(other.problem).toBe('key.not_publisher')
    const pump = ['release', 'sign', 'pump@1.0.0', '--role', 'model-camera']
    expect((await as(bob.folder, ...pump)).problem).toBe('delegation.path')
  }, 90_000)

  test('signs the next one without a controller, and others publish beside him', async () => {
    await create(bob.folder, 'camera@1.1.0')
    const signed = await run(bob.folder, ['release', 'sign', 'camera@1.1.0'], NOWHERE)
    expect(signed.data).toMatchObject({ role: 'model-camera', releaseCounter: 2 })
    await create(ada, 'motor@1.0.0')
    expect((await as(ada, 'release', 'sign', 'motor@1.0.0')).data.role).toBe('targets')
    expect((await as(ada, 'release', 'publish')).data.releases).toEqual(['motor@1.0.0'])
    expect((await as(bob.folder, 'release', 'publish')).data.releases).toEqual(['camera@1.1.0'])
  }, 90_000)

  test('renews his role, and takes back what is his, but nothing else', async () => {
    expect((await as(bob.folder, 'release', 'sign', '--renew')).data.renewed).toEqual({
      'model-camera': 3,
    })
    expect((await as(bob.folder, 'release', 'publish')).code).toBe(0)
    const revoked = await as(bob.folder, 'release', 'revoke', 'camera@1.0.0')
    expect(revoked.data).toMatchObject({ roles: ['model-camera'], published: true })
    expect((await as(bob.folder, 'release', 'revoke', 'motor@1.0.0')).problem).toBe(
      'key.not_publisher',
    )
    expect((await as(ada, 'release', 'revoke', 'camera@1.1.0')).problem).toBe('key.not_publisher')
    expect((await as(ada, 'release', 'show', 'camera@1.0.0')).data.stage).toBe('archived')
  }, 90_000)

  test('has nothing any more once the delegation is taken back', async () => {
    const { data } = await as(ada, 'key', 'undelegate', '--model', 'camera')
    expect(data).toMatchObject({ undelegated: ['model-camera'], revoked: ['camera@1.1.0'] })
    expect((await as(ada, 'release', 'show', 'camera@1.1.0')).data.stage).toBe('archived')
    expect((await as(ada, 'key', 'undelegate', '--model', 'camera')).problem).toBe(
      'delegation.unknown',
    )
    expect((await as(bob.folder, 'release', 'sign', 'camera@1.1.0')).problem).toBe(
      'key.not_publisher',
    )
  }, 90_000)
})

describe('a fleet with staging', () => {
  let ada: string
  let bob: { folder: string; key: string }
  beforeAll(async () => {
    ada = await home('ada-staging')
    controller = await startController(ada)
    expect((await as(ada, 'key', 'new')).code).toBe(0)
    bob = await newPublisher(ada, 'bob-staging')
    await create(ada, 'motor@1.0.0')
    await create(ada, 'motor@1.1.0')
  }, 90_000)
  afterAll(() => controller.stop())

  test('has it only with two keys', async () => {
    const alone = await as(ada, 'key', 'delegate', '--staging')
    expect(alone.problem).toBe('key.threshold')
    const promoted = await as(ada, 'release', 'promote', 'motor@1.0.0')
    expect(promoted.problem).toBe('release.no_staging')
    const { data } = await as(ada, 'key', 'delegate', '--staging', '--key', bob.key)
    expect(data).toMatchObject({
      ...{ delegated: ['production', 'staging'], published: true },
      waiting: [{ role: 'production', signatures: 1, threshold: 2 }],
    })
    // Production is looked through before staging: it must be there first, if empty.
    await as(bob.folder, 'release', 'cosign', '--role', 'production')
    expect((await as(bob.folder, 'release', 'publish')).data).toMatchObject({ waiting: [] })
  }, 90_000)

  test('puts a release there first; the second publisher alone then moves it', async () => {
    const signed = await as(ada, 'release', 'sign', 'motor@1.0.0', '--on-revoked', 'stop')
    expect(signed.data).toMatchObject({ role: 'staging', proposed: true })
    const published = await as(ada, 'release', 'publish', 'motor@1.0.0')
    expect(published.data).toMatchObject({
      releases: ['motor@1.0.0'],
      waiting: [{ role: 'production', signatures: 1, threshold: 2 }],
    })
    expect((await as(ada, 'release', 'show', 'motor@1.0.0')).data.role).toBe('staging')
    const again = await as(ada, 'release', 'promote', 'motor@1.0.0')
    expect(again.data).toMatchObject({ promoted: false })
    expect((await as(ada, 'release', 'show', 'motor@1.0.0')).data.role).toBe('staging')
    const moved = await as(bob.folder, 'release', 'promote', 'motor@1.0.0')
    expect(moved.data).toMatchObject({ promoted: true, waiting: [] })
    const { data } = await as(ada, 'release', 'show', 'motor@1.0.0')
    expect([data.role, data.signedBy.length]).toEqual(['production', 2])
    // The policy of a revocation comes with it.
    const path = join(bob.folder, 'publisher/role-production.json')
    const { targets } = JSON.parse(await readFile(path, 'utf8')).signed
    expect(targets['motor/1.0.0/fp32.onnx'].custom).toMatchObject({ onRevoked: 'stop' })
    expect((await as(ada, 'release', 'promote', 'motor@1.0.0')).problem).toBe('release.promoted')
  }, 90_000)

  test('goes on: the next release waits in staging while the one before is in production', async () => {
    expect((await as(ada, 'release', 'sign', 'motor@1.1.0')).data).toMatchObject({
      role: 'staging',
      releaseCounter: 2,
    })
    await as(ada, 'release', 'publish')
    const roles = async () => {
      const { data } = await as(ada, 'release', 'list')
      return data.releases.map((r: { version: string; role: string }) => `${r.version} ${r.role}`)
    }
    expect((await roles()).toSorted()).toEqual(['1.0.0 production', '1.1.0 staging'])
    expect((await as(bob.folder, 'release', 'promote', 'motor@1.1.0')).data.promoted).toBe(true)
    expect((await roles()).toSorted()).toEqual(['1.0.0 production', '1.1.0 production'])
  }, 90_000)

  test('takes a release back from production with two signatures as well', async () => {
    const one = await as(ada, 'release', 'revoke', 'motor@1.1.0')
    expect(one.data.waiting).toEqual([{ role: 'production', signatures: 1, threshold: 2 }])
    expect((await as(ada, 'release', 'show', 'motor@1.1.0')).data.stage).not.toBe('archived')
    const two = await as(bob.folder, 'release', 'cosign', '--role', 'production')
    expect(two.data).toMatchObject({ signatures: 2, changes: ['revokes motor@1.1.0'] })
    expect((await as(bob.folder, 'release', 'publish')).code).toBe(0)
    expect((await as(ada, 'release', 'show', 'motor@1.1.0')).data.stage).toBe('archived')
  }, 90_000)

  test('changes its keys only together with what the new ones signed', async () => {
    const eve = await newPublisher(ada, 'eve-staging')
    const changed = await as(ada, 'key', 'delegate', '--staging', '--key', eve.key)
    expect(changed.data).toMatchObject({ published: false, cosign: ['production'] })
    expect((await as(ada, 'release', 'publish')).problem).toBe('tuf.signature')
    for (const file of ['targets.json', 'role-production.json', 'role-staging.json']) {
      await cp(join(ada, 'publisher', file), join(eve.folder, 'publisher', file)).catch(() => {})
    }
    const signed = await as(eve.folder, 'release', 'cosign', '--role', 'production')
    expect(signed.data).toMatchObject({ signatures: 2, threshold: 2 })
    expect((await as(eve.folder, 'release', 'publish')).code).toBe(0)
    const { data } = await as(ada, 'release', 'show', 'motor@1.0.0')
    expect([data.role, data.stage]).not.toContain('archived')
    expect((await as(bob.folder, 'release', 'promote', 'motor@1.0.0')).problem).toBe(
      'release.promoted',
    )
  }, 90_000)
})
