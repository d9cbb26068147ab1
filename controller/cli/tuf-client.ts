/**
 * `linnet tuf-client`: a plain TUF client over the same code that devices use, with the interface
 * of the public conformance suite. Works against any TUF 1.0 repository. Exit code 0, or 1 with the
 * reason on standard error.
 */
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { describeProblem, ok, type Result, refuse, toProblem } from '../../shared/kernel/result.ts'
import { writeFileAtomic } from '../../shared/node/atomic-file.ts'
import { createTufFiles, downloadTarget, hasTarget, joinUrl } from '../../shared/node/tuf-files.ts'
import { nodeVerifier } from '../../shared/node/verifier-node.ts'
import { refresh } from '../../shared/signing/tuf/client.ts'
import { runTufAsync } from '../../shared/signing/tuf/effects.ts'
import { findTarget } from '../../shared/signing/tuf/search.ts'
import {
  roleFileName,
  targetFileName,
  targetUrlPath,
} from '../../shared/signing/tuf/store-layout.ts'

import type { BrowserTask } from './tuf-client-browser.ts'

const USAGE = `linnet tuf-client --metadata-dir D [--metadata-url U] [--target-name T]
  [--target-base-url B] [--target-dir O] [--browser]  init ROOT | refresh | download`

const FILE_NAME_CHARS_MAX = 200

interface Options {
  readonly 'metadata-dir'?: string
  readonly 'metadata-url'?: string
  readonly 'target-name'?: string
  readonly 'target-base-url'?: string
  readonly 'target-dir'?: string
  readonly browser?: boolean
}

/** @param argv the arguments after `tuf-client`. */
export async function runTufClient(argv: readonly string[]): Promise<number> {
  if (argv.includes('--help')) {
    process.stdout.write(`${USAGE}\n`)
    return 0
  }
  const result = await runCommand(argv).catch((cause: unknown): Result<undefined> => {
    return { ok: false, error: toProblem(cause, 'tuf_client.failed') }
  })
  if (result.ok) return 0
  process.stderr.write(`${describeProblem(result.error)}\n`)
  return 1
}

async function runCommand(argv: readonly string[]): Promise<Result<undefined>> {
  const { values, positionals } = parseArgs({
    args: [...argv],
    allowPositionals: true,
    options: {
      'metadata-dir': { type: 'string' },
      'metadata-url': { type: 'string' },
      'target-name': { type: 'string' },
      'target-base-url': { type: 'string' },
      'target-dir': { type: 'string' },
      browser: { type: 'boolean', default: false },
    },
  })
  const [command, root, ...rest] = positionals
  if (rest.length > 0) return usage('too many arguments')
  if (command === 'init' && root !== undefined) return initialise(values, root)
  if (command === 'refresh' && root === undefined) return refreshMetadata(values)
  if (command === 'download' && root === undefined) return downloadByName(values)
  return usage(`the command ${positionals.join(' ')}`)
}

async function initialise(options: Options, rootFile: string): Promise<Result<undefined>> {
  const folder = options['metadata-dir']
  if (folder === undefined) return usage('no --metadata-dir')
  await writeFileAtomic(join(folder, roleFileName('root')), await readFile(rootFile))
  return ok()
}

async function refreshMetadata(options: Options): Promise<Result<undefined>> {
  const { 'metadata-dir': folder, 'metadata-url': url } = options
  if (folder === undefined || url === undefined) return usage('no --metadata-dir or --metadata-url')
  if (options.browser === true) {
    return inBrowser({ metadataDir: folder, metadataUrl: url, target: null })
  }
  const files = createTufFiles(folder, url, nodeVerifier)
  const trusted = await runTufAsync(refresh(Date.now()), files)
  return trusted.ok ? ok() : trusted
}

async function downloadByName(options: Options): Promise<Result<undefined>> {
  const { 'metadata-dir': folder, 'metadata-url': url, 'target-name': name } = options
  const { 'target-base-url': base, 'target-dir': targetDir } = options
  if (folder === undefined || url === undefined || name === undefined) {
    return usage('no --metadata-dir, --metadata-url or --target-name')
  }
  if (base === undefined || targetDir === undefined) {
    return usage('no --target-base-url or --target-dir')
  }
  const fileName = localName(name)
  if (options.browser === true) {
    const target = { name, baseUrl: base, file: join(targetDir, fileName) }
    return inBrowser({ metadataDir: folder, metadataUrl: url, target })
  }
  const files = createTufFiles(folder, url, nodeVerifier)
  const trusted = await runTufAsync(refresh(Date.now()), files)
  if (!trusted.ok) return trusted
  const found = await runTufAsync(findTarget(trusted.value, name), files)
  if (!found.ok) return found
  const { file } = found.value
  const path = targetUrlPath(name, file, trusted.value.root.consistentSnapshot)
  if (path === undefined) {
    return refuse('tuf_client.target_path', 'The target path leaves its folder.', { found: name })
  }
  if (await hasTarget(join(targetDir, fileName), file)) return ok()
  return downloadTarget(joinUrl(base, path), file, targetDir, fileName)
}

/** Loaded only then: products have no browser. */
async function inBrowser(task: BrowserTask): Promise<Result<undefined>> {
  const { runTufClientInBrowser } = await import('./tuf-client-browser.ts')
  return runTufClientInBrowser(task)
}

/** The encoded target path, or its digest where that would be too long for a file name. */
function localName(target: string): string {
  const name = targetFileName(target)
  if (name.length <= FILE_NAME_CHARS_MAX) return name
  return createHash('sha256').update(target).digest('hex')
}

function usage(found: string): Result<never> {
  return refuse('tuf_client.usage', USAGE, { found })
}
