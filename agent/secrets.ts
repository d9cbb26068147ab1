/**
 * The secrets that an agent is started with, from files and from the environment: the enrolment token
 * and what opens encrypted artifacts. Invariant: what came by the environment is taken out of it, so
 * no child process inherits it. Files are the better way: they are seen by nobody else.
 */
import { dirname, isAbsolute, join, resolve } from 'node:path'
import { fromUtf8 } from '../shared/kernel/bytes.ts'
import { ProblemError } from '../shared/kernel/result.ts'
import { readFileBounded } from '../shared/node/atomic-file.ts'
import { parseEnrolmentToken } from '../shared/signing/enrolment-token.ts'
import type { AgentArguments } from './arguments.ts'
import { type ArtifactSecret, readSecretFile } from './artifact/artifact-key.ts'

type Environment = Record<string, string | undefined>

const TOKEN_BYTES_MAX = 16_384

const ENROLMENT_TOKEN = 'LINNET_ENROLMENT_TOKEN'
const ARTIFACT_PASSPHRASE = 'LINNET_ARTIFACT_PASSPHRASE'

/**
 * The enrolment token: `--token`, `--token-file`, `LINNET_ENROLMENT_TOKEN`, or what older
 * instructions say, `LINNET_TOKEN` (unless it is an operator's, which has the same name there).
 * @throws ProblemError `usage` when the file cannot be read
 */
export async function enrolmentToken(
  { token, tokenFile }: Pick<AgentArguments, 'token' | 'tokenFile'>,
  environment: Environment,
): Promise<string | undefined> {
  const given = take(environment, ENROLMENT_TOKEN)
  const former = take(environment, 'LINNET_TOKEN')
  if (token !== undefined) return token
  if (tokenFile !== undefined) return (await lineOf(tokenFile)).trim()
  if (given !== undefined) return given
  return former !== undefined && parseEnrolmentToken(former).ok ? former : undefined
}

/**
 * What opens the artifacts of this device; undefined where they are not encrypted.
 * @throws ProblemError `usage`, `artifact.key_permissions`
 */
export async function artifactSecret(
  options: Pick<AgentArguments, 'encrypt' | 'artifactKeyFile' | 'artifactPassphraseFile'>,
  home: string,
  environment: Environment,
): Promise<ArtifactSecret | undefined> {
  const passphrase = take(environment, ARTIFACT_PASSPHRASE)
  const { encrypt, artifactKeyFile, artifactPassphraseFile } = options
  if (!encrypt) {
    // Whoever gives one believes that it protects something.
    if (passphrase !== undefined) throw usage(`--encrypt-artifacts with ${ARTIFACT_PASSPHRASE}`)
    return undefined
  }
  const given = [artifactKeyFile, artifactPassphraseFile, passphrase]
  if (given.filter((each) => each !== undefined).length > 1) {
    throw usage(`one of --artifact-key-file, --artifact-passphrase-file, ${ARTIFACT_PASSPHRASE}`)
  }
  if (artifactPassphraseFile !== undefined) {
    const bytes = await readSecretFile(
      artifactPassphraseFile,
      isCredential(artifactPassphraseFile, environment),
    )
    return passphraseSecret(fromUtf8(bytes ?? new Uint8Array())?.replace(/\r?\n$/, ''))
  }
  if (passphrase !== undefined) return passphraseSecret(passphrase)
  const path = artifactKeyFile ?? join(home, 'artifact.key')
  return { kind: 'key-file', path, ...(isCredential(path, environment) && { isCredential: true }) }
}

/** Directly in the folder that systemd made for this service and named to it. */
function isCredential(path: string, { CREDENTIALS_DIRECTORY: folder }: Environment): boolean {
  return folder !== undefined && isAbsolute(folder) && dirname(resolve(path)) === resolve(folder)
}

function passphraseSecret(passphrase: string | undefined): ArtifactSecret {
  if (passphrase === undefined || passphrase === '') throw usage('a passphrase that is not empty')
  return { kind: 'passphrase', passphrase }
}

async function lineOf(path: string): Promise<string> {
  const bytes = await readFileBounded(path, TOKEN_BYTES_MAX)
  const text = bytes === undefined ? undefined : fromUtf8(bytes)
  if (text === undefined) throw usage(`a text file ${path}`)
  return text
}

function take(environment: Environment, name: string): string | undefined {
  const value = environment[name]
  delete environment[name]
  return value
}

function usage(expected: string): ProblemError {
  const message = 'A secret of this device is missing or given twice.'
  return new ProblemError({ code: 'usage', message, expected, next: 'linnet agent --help' })
}
