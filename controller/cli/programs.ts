/**
 * Commands that are programs of their own: started by path with the terminal handed over, so that
 * the command line loads neither the agent's nor the controller's libraries.
 */
import { spawn } from 'node:child_process'
import { programAt } from '../../shared/node/program.ts'

const PROGRAMS: Readonly<Record<string, string>> = {
  controller: '../main',
  agent: '../../agent/main',
  demo: '../demo/main',
  serve: '../../agent/serve-main',
  profile: '../../agent/profile-main',
}

export function isProgram(name: string | undefined): name is string {
  return name !== undefined && name in PROGRAMS
}

interface Started {
  readonly rest: readonly string[]
  readonly env: NodeJS.ProcessEnv
}

/**
 * `--ca FILE`, certificates to trust beside the system's: Node reads them from its environment, once,
 * when it starts, so this can only be done from outside the program.
 */
function takeCa(args: readonly string[]): Started {
  const at = args.indexOf('--ca')
  const file = args[at + 1]
  if (at === -1 || file === undefined) return { rest: args, env: process.env }
  const env = { ...process.env, NODE_EXTRA_CA_CERTS: file }
  return { rest: args.toSpliced(at, 2), env }
}

/**
 * The agent's enrolment token goes on by the environment: any user of the machine may see the
 * arguments of every process. This one's own are the caller's to choose.
 */
function takeEnrolmentToken(args: readonly string[], env: NodeJS.ProcessEnv): Started {
  const at = args.findIndex((arg) => arg === '--token' || arg.startsWith('--token='))
  if (at === -1) return { rest: args, env }
  const [, joined] = /^--token=(.*)$/s.exec(args[at]!) ?? []
  const token = joined ?? args[at + 1]
  if (token === undefined) return { rest: args, env }
  const rest = args.toSpliced(at, joined === undefined ? 2 : 1)
  return { rest, env: { ...env, LINNET_ENROLMENT_TOKEN: token } }
}

/** Runs to its end; signals go on to it. @returns its exit code, 128 + n after signal n. */
export function runProgram(name: string, args: readonly string[]): Promise<number> {
  const { file, execArgv } = programAt(import.meta.url, PROGRAMS[name] ?? '')
  const trusting = takeCa(args)
  const { rest, env } =
    name === 'agent' ? takeEnrolmentToken(trusting.rest, trusting.env) : trusting
  const child = spawn(process.execPath, [...execArgv, file, ...rest], { stdio: 'inherit', env })
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    // From a terminal Ctrl-C reaches both; the second one only repeats what it knows.
    process.on(signal, () => child.kill(signal))
  }
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', (code, signal) => resolve(code ?? (signal === 'SIGKILL' ? 137 : 143)))
  })
}
