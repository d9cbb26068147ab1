/** The built page in real Chromium, behind the same command line. */
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import type { Server } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { runTufClient } from '../../../controller/cli/tuf-client.ts'
import { CHROMIUM, withoutChromium } from '../../agent/browser/chromium.ts'
import type { TestRepository } from '../../shared/signing/tuf/build-repository.ts'
import {
  MODEL_CONTENT,
  MODEL_TARGET,
  modelRepository,
  serveRepository,
} from '../../shared/signing/tuf/model-repository.ts'

let folder = ''
let repository: TestRepository
let server: Server
let url = ''
const errors: string[] = []

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'linnet-tuf-browser-'))
  await mkdir(join(folder, 'metadata'))
  errors.length = 0
  repository = modelRepository(Date.now(), true)
  await writeFile(join(folder, 'metadata', 'root.json'), repository.files.get('1.root.json')!)
  const serving = await serveRepository(repository)
  server = serving.server
  url = serving.url
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => errors.push(String(text)) > 0)
})
afterEach(async () => {
  vi.restoreAllMocks()
  server.closeAllConnections()
  await new Promise((resolve) => server.close(resolve))
  await rm(folder, { recursive: true, force: true })
})

const download = () =>
  runTufClient([
    ...['--browser', '--metadata-dir', join(folder, 'metadata')],
    ...['--metadata-url', `${url}/metadata`, '--target-name', MODEL_TARGET],
    ...['--target-base-url', `${url}/targets`, '--target-dir', join(folder, 'targets'), 'download'],
  ])

describe.skipIf(withoutChromium)(`linnet tuf-client --browser in ${CHROMIUM}`, () => {
  it('downloads a model that Ed25519, ECDSA and RSA keys vouch for, and keeps the metadata', async () => {
    const code = await download()
    expect(errors).toEqual([])
    expect(code).toBe(0)
    const [name = ''] = await readdir(join(folder, 'targets'))
    expect(await readFile(join(folder, 'targets', name), 'utf8')).toBe(MODEL_CONTENT)
    expect((await readdir(join(folder, 'metadata'))).toSorted()).toEqual([
      ...['production.json', 'root.json', 'snapshot.json', 'targets.json', 'timestamp.json'],
    ])
  })

  it('says why it refuses', async () => {
    const bytes = Uint8Array.from(repository.files.get('timestamp.json')!)
    const at = bytes.length - 30
    bytes[at] = bytes[at] === 0x30 ? 0x31 : 0x30
    repository.files.set('timestamp.json', bytes)
    expect(await download()).toBe(1)
    expect(errors.join('')).toContain('tuf.signature')
  })
})
