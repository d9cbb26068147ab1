/**
 * Publishers come, go and change their keys while devices use what is published: the commands, a real
 * controller, and a client that refreshes after every step.
 */
import { cp, mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Command } from 'commander'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest'
import { keyCommands } from '../../../controller/cli/key-commands.ts'
import { releaseCommands } from '../../../controller/cli/release-commands.ts'
import { toProblem } from '../../../shared/kernel/result.ts'
import { createTufFiles } from '../../../shared/node/tuf-files.ts'
import { nodeVerifier } from '../../../shared/node/verifier-node.ts'
import { keyId } from '../../../shared/signing/keys.ts'
import { refresh } from '../../../shared/signing/tuf/client.ts'
import { runTufAsync } from '../../../shared/signing/tuf/effects.ts'
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

let controller: ControllerProgram
let token: string
let ada: string
let bob: string
let device: string
const folders: string[] = []
async function home(name: string): Promise<string> {
  const folder = await scratchFolder(name)
  folders.push(folder)
  return folder
}
beforeAll(() => void vi.stubEnv('LINNET_PASSPHRASE', 'correct horse battery'))
afterAll(() => void vi.unstubAllEnvs())

/** Ada made the first keys, and detector@1.0.0 is published; Bob has his key and the root. */
beforeEach(async () => {
  ;[ada, bob, device] = [await home('ada'), await home('bob'), await home('device')]
  controller = await startController(ada)
  token = (await readFile(join(ada, 'token'), 'utf8')).trim()
  await done(ada, 'key', 'new')
  await publish('1.0.0')
  await writeFile(join(bob, 'bob.json'), JSON.stringify(await done(bob, 'key', 'publisher')))
  await mkdir(join(bob, 'publisher'), { recursive: true })
  await cp(join(ada, 'publisher/root.json'), join(bob, 'publisher/root.json'))
  await cp(join(ada, 'publisher/root.json'), join(device, 'root.json'))
}, 90_000)
afterEach(async () => {
  await controller.stop()
  for (const folder of folders.splice(0)) await removeFolder(folder)
})

interface Data {
  readonly rootVersion: number
  readonly waitingRootVersion?: number
  readonly signatures: number
  readonly threshold: number
  readonly targetsVersion: number
  readonly releaseCounter: number
  readonly releases: readonly string[]
  readonly waiting: readonly unknown[]
  readonly promoted: boolean
}

async function run(folder: string, args: readonly string[]) {
  const program = new Command('linnet').exitOverride()
  for (const group of [keyCommands(), releaseCommands()]) program.addCommand(group)
  const printed: string[] = []
  const out = vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    printed.push(String(text))
    return true
  })
  const err = vi.spyOn(process.stderr, 'write').mockReturnValue(true)
  const where = ['--home', folder, '--controller', controller.url, '--token', token]
  try {
    await program.parseAsync([...args, ...where, '--json'], { from: 'user' })
    return { problem: undefined, data: JSON.parse(printed.join('')) as Data }
  } catch (cause) {
    return { problem: toProblem(cause, 'cli.failed'), data: undefined }
  } finally {
    out.mockRestore()
    err.mockRestore()
  }
}

/** A command that must do what it says. */
async function done(folder: string, ...args: string[]): Promise<Data> {
  const { problem, data } = await run(folder, args)
  expect(problem).toBeUndefined()
  return data!
}

async function refused(folder: string, ...args: string[]): Promise<string | undefined> {
  return (await run(folder, args)).problem?.code
}

const create = (version: string) =>
  done(ada, 'release', 'create', '--model', ONNX, '--name', 'detector', '--version', version)

async function publish(version: string): Promise<void> {
  await create(version)
  await done(ada, 'release', 'sign', `detector@${version}`)
  await done(ada, 'release', 'publish')
}

/** What a device that keeps its trust on disk makes of the repository now: root and targets version. */
async function deviceSees(): Promise<readonly [number, number] | string> {
  const files = createTufFiles(device, `${controller.url}/tuf/metadata`, nodeVerifier)
  const trusted = await runTufAsync(refresh(Date.now()), files)
  if (!trusted.ok) return trusted.error.code
  return [trusted.value.root.version, trusted.value.targets.version]
}

/** Ada's targets, carried to Bob, who signs and publishes them. */
async function bobSigns(): Promise<Data> {
  const carried = join(bob, 'targets.json')
  await cp(join(ada, 'publisher/targets.json'), carried)
  const signed = await done(bob, 'release', 'cosign', '--file', carried, '--yes')
  await done(bob, 'release', 'publish', '--targets', carried)
  return signed
}

const rotate = (...args: string[]) => done(ada, 'key', 'rotate', ...args)
const twoMustSign = () => rotate('--add-publisher', join(bob, 'bob.json'), '--threshold', '2')

test('a second publisher, as README has it: the root waits until both signed the targets', async () => {
  expect(await deviceSees()).toEqual([1, 1])
  expect(await twoMustSign()).toMatchObject({ rootVersion: 1, waitingRootVersion: 2 })
  expect(await deviceSees()).toEqual([1, 1])
  // Until then the fleet is the first publisher's as before, a revocation as well.
  await publish('1.1.0')
  expect(await deviceSees()).toEqual([1, 2])
  expect(await twoMustSign()).toMatchObject({ rootVersion: 1, waitingRootVersion: 2 })
  expect(await bobSigns()).toMatchObject({ signatures: 2, threshold: 2 })
  expect(await deviceSees()).toEqual([2, 3])
  // Everything that asks what is published goes on.
  expect(await rotate('--director', '--snapshot', '--timestamp')).toMatchObject({ rootVersion: 3 })
  expect(await deviceSees()).toEqual([3, 3])
  expect(await refused(ada, 'release', 'revoke', 'detector@1.0.0', '--yes')).toBe('tuf.signature')
  await bobSigns()
  expect(await deviceSees()).toEqual([3, 4])
}, 120_000)

test('who signs is told what root comes with it, and who replaces it what is lost', async () => {
  const bobId = keyId(JSON.parse(await readFile(join(bob, 'bob.json'), 'utf8')))
  for (const nobody of [bobId, '', 'zz']) {
    const removing = ['key', 'rotate', '--add-publisher', join(bob, 'bob.json')]
    const code = await refused(ada, ...removing, `--remove-publisher=${nobody}`)
    expect(code, nobody).toBe('key.publisher_unknown')
  }
  expect(await twoMustSign()).not.toHaveProperty('lost')
  const added = `+ key of targets ${bobId}`
  const two = '~ signatures of targets 1 to 2'
  expect(await twoMustSign()).toMatchObject({ waitingRootVersion: 2, lost: [] })
  expect(await rotate('--director')).toMatchObject({ rootVersion: 2, lost: [added, two] })
  expect(await twoMustSign()).toMatchObject({ waitingRootVersion: 3 })
  expect(await bobSigns()).toMatchObject({ root: { version: 3, changes: [added, two] } })
  const one = ['--remove-publisher', bobId.slice(0, 12), '--threshold', '1']
  expect(await rotate(...one)).toMatchObject({ rootVersion: 4 })
}, 120_000)

test('a publisher who must sign goes only once the others have signed', async () => {
  await twoMustSign()
  await bobSigns()
  const carol = await home('carol')
  await writeFile(join(carol, 'carol.json'), JSON.stringify(await done(carol, 'key', 'publisher')))
  const bobId = keyId(JSON.parse(await readFile(join(bob, 'bob.json'), 'utf8')))
  const left = ['--add-publisher', join(carol, 'carol.json'), '--remove-publisher', bobId]
  expect(await rotate(...left)).toMatchObject({ rootVersion: 2, waitingRootVersion: 3 })
  expect(await deviceSees()).toEqual([2, 2])
  await mkdir(join(carol, 'publisher'), { recursive: true })
  await cp(join(ada, 'publisher/root.json'), join(carol, 'publisher/root.json'))
  const carried = join(carol, 'targets.json')
  await cp(join(ada, 'publisher/targets.json'), carried)
  await done(carol, 'release', 'cosign', '--file', carried, '--yes')
  await done(carol, 'release', 'publish', '--targets', carried)
  expect(await deviceSees()).toEqual([3, 3])
}, 120_000)

test('a new publisher key comes with the targets that it signed, alone or with the other one', async () => {
  expect(await rotate('--publisher')).toMatchObject({ rootVersion: 2 })
  expect(await deviceSees()).toEqual([2, 2])
  await twoMustSign()
  await bobSigns()
  expect(await deviceSees()).toEqual([3, 3])

  expect(await rotate('--publisher')).toMatchObject({ rootVersion: 3, waitingRootVersion: 4 })
  expect(await deviceSees()).toEqual([3, 3])
  await bobSigns()
  expect(await deviceSees()).toEqual([4, 4])
  // The same again takes the key over on this machine.
  expect(await rotate('--publisher')).toMatchObject({ rootVersion: 5 })
  expect((await readdir(join(ada, 'keys'))).filter((name) => name.includes('next'))).toEqual([])
  await done(ada, 'release', 'sign', '--renew')
  await bobSigns()
  expect(await deviceSees()).toEqual([5, 5])
}, 120_000)

test('what was signed before is in what is signed next, as the one next version', async () => {
  await create('1.1.0')
  await create('1.2.0')
  const sign = (version: string) => done(ada, 'release', 'sign', `detector@${version}`)
  expect(await sign('1.1.0')).toMatchObject({ targetsVersion: 2, releaseCounter: 2 })
  expect(await sign('1.2.0')).toMatchObject({ targetsVersion: 2, releaseCounter: 3 })
  const { releases } = await done(ada, 'release', 'publish')
  expect(releases).toEqual(['detector@1.1.0', 'detector@1.2.0'])
  expect(await deviceSees()).toEqual([1, 2])
}, 90_000)

test('a counter is never given twice, not even when all releases are revoked', async () => {
  await publish('1.1.0')
  await done(ada, 'release', 'revoke', 'detector@1.0.0', '--yes')
  await done(ada, 'release', 'revoke', 'detector@1.1.0', '--yes')
  await create('1.2.0')
  expect(await done(ada, 'release', 'sign', 'detector@1.2.0')).toMatchObject({ releaseCounter: 3 })
  // A second publisher signs what says so, too.
  await done(ada, 'release', 'publish')
  await twoMustSign()
  expect(await bobSigns()).toMatchObject({ signatures: 2 })
}, 90_000)

test('staging comes to a fleet that revoked a release', async () => {
  await publish('1.1.0')
  await done(ada, 'release', 'revoke', 'detector@1.1.0', '--yes')
  await done(ada, 'release', 'revoke', 'detector@1.0.0', '--yes')
  const given = ['--staging', '--key', join(bob, 'bob.json')]
  expect(await done(ada, 'key', 'delegate', ...given)).toMatchObject({
    waiting: [{ role: 'production', signatures: 1, threshold: 2 }],
  })
  await done(bob, 'release', 'cosign', '--role', 'production', '--yes')
  await done(bob, 'release', 'publish')
  await create('1.2.0')
  expect(await done(ada, 'release', 'sign', 'detector@1.2.0')).toMatchObject({ releaseCounter: 3 })
  await done(ada, 'release', 'publish')
  expect(await done(bob, 'release', 'promote', 'detector@1.2.0', '--yes')).toMatchObject({
    promoted: true,
  })
}, 90_000)

test('a delegation that the controller refuses is not in what is signed next', async () => {
  const before = await readFile(join(ada, 'publisher/targets.json'))
  const good = token
  token = 'of nobody'
  const given = ['--model', 'detector', '--key', join(bob, 'bob.json')]
  expect(await refused(ada, 'key', 'delegate', ...given)).toMatch(/^auth\./)
  token = good
  expect(await readFile(join(ada, 'publisher/targets.json'))).toEqual(before)
  await publish('1.1.0')
  expect(await deviceSees()).toEqual([1, 2])
}, 90_000)
