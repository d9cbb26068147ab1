/** A model with a key of its own, and staging with two publishers: the commands and a real controller. */
import { once } from 'node:events'
import { cp, mkdir, readFile, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { Command } from 'commander'
import { Updater } from 'tuf-js'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { keyCommands } from '../../../controller/cli/key-commands.ts'
import { releaseCommands } from '../../../controller/cli/release-commands.ts'
import { toProblem, unwrap } from '../../../shared/kernel/result.ts'
import { loadSigner } from '../../../shared/node/key-files.ts'
import { signEnvelope } from '../../../shared/signing/envelope.ts'
import {
  type ControllerProgram,
  removeFolder,
  scratchFolder,
  startController,
} from '../../fixtures/controller-program.ts'

// A passphrase costs 0.4 s as it ships, and these tests open some hundred key files.
vi.mock('../../../shared/node/key-files.ts', async (original) => {
  const files = await original<typeof import('../../../shared/node/key-files.ts')>()
  const writeKeyFile: typeof files.writeKeyFile = (path, key, options) =>
    files.writeKeyFile(path, key, { ...options, log2Cost: 10 })
  return { ...files, writeKeyFile }
})

const MODELS = new URL('../../../controller/demo/models/motor-vibration/', import.meta.url).pathname
const ONNX = join(MODELS, '1.0.0/fp32.onnx')
const NOWHERE = 'http://127.0.0.1:9'

let controller: ControllerProgram
let token: string
beforeAll(() => void vi.stubEnv('LINNET_PASSPHRASE', 'correct horse battery'))
const homes: string[] = []
async function home(name: string): Promise<string> {
  const folder = await scratchFolder(name)
  homes.push(folder)
  return folder
}
afterAll(async () => {
  vi.unstubAllEnvs()
  for (const folder of homes) await removeFolder(folder)
})

/** Whatever a command says; each test asks for what it needs. */
interface Data {
  readonly role: string
  readonly stage: string
  readonly promoted: boolean
  readonly signedBy: readonly string[]
  readonly delegations: readonly unknown[]
  readonly releases: readonly { readonly version: string; readonly role: string }[]
  readonly waiting: readonly unknown[]
  readonly renewed: Readonly<Record<string, number>>
}

/** Nobody sits at a terminal here. */
const ASKING = [
  ...['cosign', 'promote', 'revoke'].map((verb) => ['release', verb] as const),
  ['key', 'undelegate'] as const,
]

interface Outcome {
  readonly problem: string | undefined
  readonly text: string
  /** What `--json` printed. */
  readonly data: Data
}

/** The command in this process: starting another one takes longer than most of them run. */
async function run(
  folder: string,
  args: readonly string[],
  url = controller.url,
  isJson = true,
): Promise<Outcome> {
  const program = new Command('linnet').exitOverride()
  for (const group of [keyCommands(), releaseCommands()]) program.addCommand(group)
  const printed: string[] = []
  const out = vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    printed.push(String(text))
    return true
  })
  const err = vi.spyOn(process.stderr, 'write').mockReturnValue(true)
  const asks = ASKING.some(([group, verb]) => args[0] === group && args[1] === verb)
  const where = [
    ...(asks ? ['--yes'] : []),
    '--home',
    folder,
    '--controller',
    url,
    '--token',
    token,
  ]
  try {
    await program.parseAsync([...args, ...where, ...(isJson ? ['--json'] : [])], { from: 'user' })
    const text = printed.join('')
    return { problem: undefined, text, data: JSON.parse(isJson ? text : '{}') as Data }
  } catch (cause) {
    return { problem: toProblem(cause, 'cli.failed').code, text: '', data: {} as Data }
  } finally {
    out.mockRestore()
    err.mockRestore()
  }
}
const as = (folder: string, ...args: string[]) => run(folder, args)

/** Starts a controller for a publisher who has made the first keys. */
async function firstPublisher(name: string): Promise<string> {
  const folder = await home(name)
  controller = await startController(folder)
  token = (await readFile(join(folder, 'token'), 'utf8')).trim()
  expect((await as(folder, 'key', 'new')).problem).toBeUndefined()
  return folder
}

/** A publisher on a machine of his own; he has the root, and makes his key. */
async function newPublisher(of: string, name: string): Promise<{ folder: string; key: string }> {
  const folder = await home(name)
  const key = join(folder, `${name}.json`)
  await writeFile(key, JSON.stringify((await as(folder, 'key', 'publisher')).data))
  await mkdir(join(folder, 'publisher'), { recursive: true })
  await cp(join(of, 'publisher/root.json'), join(folder, 'publisher/root.json'))
  return { folder, key }
}

async function create(folder: string, release: string): Promise<void> {
  const [name = '', version = ''] = release.split('@')
  const args = ['release', 'create', '--model', ONNX, '--name', name, '--version', version]
  expect((await as(folder, ...args)).problem).toBeUndefined()
}

/** A controller in the hands of a thief: it answers with his words what waits, else as before. */
async function startThief(url: string, waiting: string) {
  const server = createServer(async (request, response) => {
    if (request.url?.endsWith('/waiting.production.json')) return void response.end(waiting)
    const answer = await fetch(url + request.url)
    response.writeHead(answer.status).end(Buffer.from(await answer.arrayBuffer()))
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}`,
    close: () => new Promise((done) => server.close(done).closeAllConnections()),
  }
}

async function signWith(folder: string, signed: unknown): Promise<string> {
  const signer = await loadSigner(join(folder, 'keys/publisher.json'), 'correct horse battery')
  return JSON.stringify(unwrap(signEnvelope(signed, [signer])))
}

describe('a model whose owner has a key of his own', () => {
  let ada: string
  let bob: { folder: string; key: string }
  beforeAll(async () => {
    ada = await firstPublisher('ada')
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
    const shown = await as(bob.folder, 'key', 'show')
    expect(shown.data).toMatchObject({ rootKey: null, delegations: [{ role: 'model-camera' }] })
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

  test('is fetched by tuf-js from the controller, beside the others, also past a rotation', async () => {
    const model = await readFile(ONNX)
    const folder = await home('tuf-js')
    await cp(join(ada, 'publisher/root.json'), join(folder, 'root.json'))
    const fetched = async (path: string): Promise<Buffer> => {
      const updater = new Updater({
        ...{ metadataDir: folder, metadataBaseUrl: `${controller.url}/tuf/metadata` },
        ...{ targetDir: folder, targetBaseUrl: `${controller.url}/tuf/targets` },
      })
      await updater.refresh()
      const target = await updater.getTargetInfo(path)
      return readFile(await updater.downloadTarget(target!, join(folder, 'model.onnx')))
    }
    expect(model.equals(await fetched('camera/1.1.0/fp32.onnx'))).toBe(true)
    const rotated = await as(ada, 'key', 'rotate', '--director', '--snapshot', '--timestamp')
    expect(rotated.problem).toBeUndefined()
    expect(model.equals(await fetched('motor/1.0.0/fp32.onnx'))).toBe(true)
    const newest = JSON.parse(await readFile(join(folder, 'root.json'), 'utf8'))
    expect(newest.signed.version).toBe(2)
  }, 90_000)

  test('adds his signature to nothing that would never expire', async () => {
    const far = join(bob.folder, 'far.json')
    const text = await readFile(join(bob.folder, 'publisher/role-model-camera.json'), 'utf8')
    await writeFile(far, text.replace(/"expires":"\d{4}/, '"expires":"2126'))
    const args = ['release', 'cosign', '--role', 'model-camera', '--file', far]
    expect((await as(bob.folder, ...args)).problem).toBe('release.expiry')
  }, 60_000)

  test('renews his role, and takes back what is his, but nothing else', async () => {
    expect((await as(bob.folder, 'release', 'sign', '--renew')).data.renewed).toEqual({
      'model-camera': 3,
    })
    expect((await as(bob.folder, 'release', 'publish')).problem).toBeUndefined()
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
    ada = await firstPublisher('ada-staging')
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
    const { text } = await run(ada, ['release', 'publish'], controller.url, false)
    expect(text).toContain('next: linnet release promote motor@1.1.0, by another publisher')
    const roles = async () => {
      const { data } = await as(ada, 'release', 'list')
      return data.releases.map(({ version, role }) => `${version} ${role}`)
    }
    expect((await roles()).toSorted()).toEqual(['1.0.0 production', '1.1.0 staging'])
    expect((await as(bob.folder, 'release', 'promote', 'motor@1.1.0')).data.promoted).toBe(true)
    expect((await roles()).toSorted()).toEqual(['1.0.0 production', '1.1.0 production'])
  }, 90_000)

  test('signs nothing that a thief at the controller made up', async () => {
    const production = JSON.parse(
      await readFile(join(bob.folder, 'publisher/role-production.json'), 'utf8'),
    ) as { signed: { version: number } }
    const { signed } = production
    const next = { ...signed, version: signed.version + 1 }
    const succinct = { keyids: [], threshold: 1, bit_length: 1, name_prefix: 'bin' }
    const delegating = { ...next, delegations: { keys: {}, succinct_roles: succinct } }
    const cosign = ['release', 'cosign', '--role', 'production']
    const waits = async (waiting: string) => {
      const thief = await startThief(controller.url, waiting)
      try {
        return (await run(bob.folder, cosign, thief.url)).problem
      } finally {
        await thief.close()
      }
    }
    for (const forged of [next, delegating]) {
      expect(await waits(JSON.stringify({ ...production, signed: forged }))).toBe(
        'release.not_signed',
      )
    }
    const adas = await signWith(ada, delegating)
    expect(await waits(adas)).toBe('release.unknown_form')
    expect(await waits('x'.repeat(2_000_000))).toBe('tuf.endless_data')
  }, 60_000)

  test('takes a release back from production with two signatures as well', async () => {
    const one = await as(ada, 'release', 'revoke', 'motor@1.1.0')
    expect(one.data.waiting).toEqual([{ role: 'production', signatures: 1, threshold: 2 }])
    expect((await as(ada, 'release', 'show', 'motor@1.1.0')).data.stage).not.toBe('archived')
    const two = await as(bob.folder, 'release', 'cosign', '--role', 'production')
    expect(two.data).toMatchObject({ signatures: 2, changes: ['revokes motor@1.1.0'] })
    expect((await as(bob.folder, 'release', 'publish')).problem).toBeUndefined()
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
    expect((await as(eve.folder, 'release', 'publish')).problem).toBeUndefined()
    const { data } = await as(ada, 'release', 'show', 'motor@1.0.0')
    expect([data.role, data.stage]).not.toContain('archived')
    expect((await as(bob.folder, 'release', 'promote', 'motor@1.0.0')).problem).toBe(
      'release.promoted',
    )
  }, 90_000)
})
