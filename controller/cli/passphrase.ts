/**
 * The passphrase of key files: from LINNET_PASSPHRASE, else asked for on the terminal without echo.
 * It is never an argument, where every process on the machine could read it.
 */
import { ProblemError } from '../../shared/kernel/result.ts'

const LENGTH_MIN = 8

/** Errors (thrown): `key.passphrase_needed`. */
export async function askPassphrase(prompt: string): Promise<string> {
  const fromEnvironment = process.env.LINNET_PASSPHRASE
  if (fromEnvironment !== undefined && fromEnvironment !== '') return fromEnvironment
  if (!process.stdin.isTTY) {
    throw new ProblemError({
      code: 'key.passphrase_needed',
      message: 'There is no terminal to ask for the passphrase.',
      expected: 'LINNET_PASSPHRASE, or a terminal',
    })
  }
  return readHidden(prompt)
}

/** As `askPassphrase`, twice. Errors (thrown): `key.passphrase_short`, `.passphrase_differs`. */
export async function askNewPassphrase(): Promise<string> {
  const first = await askPassphrase('New passphrase: ')
  if (first.length < LENGTH_MIN) {
    throw new ProblemError({
      code: 'key.passphrase_short',
      message: 'The passphrase is too short.',
      expected: `at least ${LENGTH_MIN} characters`,
    })
  }
  if ((await askPassphrase('Once more: ')) === first) return first
  throw new ProblemError({ code: 'key.passphrase_differs', message: 'The passphrases differ.' })
}

const ENTER = ['\r', '\n', '\u0004']
const INTERRUPT = '\u0003'
const BACKSPACE = ['\u007f', '\b']

function readHidden(prompt: string): Promise<string> {
  const { stdin, stderr } = process
  stderr.write(prompt)
  stdin.setRawMode(true)
  stdin.setEncoding('utf8')
  stdin.resume()
  return new Promise((resolve, reject) => {
    let typed = ''
    const finish = () => {
      stdin.off('data', read)
      stdin.setRawMode(false)
      stdin.pause()
      stderr.write('\n')
    }
    const read = (text: string) => {
      for (const key of text) {
        if (key === INTERRUPT) {
          finish()
          return reject(new ProblemError({ code: 'cli.not_confirmed', message: 'Interrupted.' }))
        }
        if (ENTER.includes(key)) {
          finish()
          return resolve(typed)
        }
        typed = BACKSPACE.includes(key) ? [...typed].slice(0, -1).join('') : typed + key
      }
    }
    stdin.on('data', read)
  })
}
