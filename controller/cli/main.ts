#!/usr/bin/env node
/**
 * The `linnet` command. It parses, calls the controller's interface and prints; it decides nothing.
 * Exit codes are in exit-codes.ts.
 */
import { Command, CommanderError } from 'commander'
import { toProblem } from '../../shared/kernel/result.ts'
import { CONTROLLER_VERSION } from '../version.ts'
import { EXIT, exitCodeOf } from './exit-codes.ts'
import { isProgram, runProgram } from './programs.ts'
import { problemText } from './terminal.ts'

const HELP = `
Start with:
  linnet demo                                a fleet on this machine, and the whole story
  linnet controller                          the controller with broker, database and console
  linnet agent --controller URL --profile P  a device
  linnet serve FILE.onnx                     a model alone, unsigned, to try it

Exit codes: 0 done, 1 usage, 2 refused, 3 rollout failed or rolled back, 4 time out, 5 unreachable.
`

interface Group {
  readonly name: string
  readonly description: string
  /** Loaded only when it is asked for: all of them together take as long as most commands run. */
  readonly load: () => Promise<Command | undefined>
}

const operators = async (name: string): Promise<Command | undefined> => {
  const { operatorCommands } = await import('./operator-commands.ts')
  return operatorCommands().find((command) => command.name() === name)
}

const GROUPS: readonly Group[] = [
  {
    name: 'key',
    description: 'the offline keys of this fleet',
    load: async () => (await import('./key-commands.ts')).keyCommands(),
  },
  {
    name: 'release',
    description: 'signed versions of a model',
    load: async () => (await import('./release-commands.ts')).releaseCommands(),
  },
  {
    name: 'rollout',
    description: 'bring a release out, wave by wave',
    load: async () => (await import('./rollout-commands.ts')).rolloutCommands(),
  },
  {
    name: 'device',
    description: 'devices of the fleet',
    load: async () => (await import('./device-commands.ts')).deviceCommands(),
  },
  {
    name: 'audit',
    description: 'who did what, when, and with what outcome',
    load: async () => (await import('./audit-commands.ts')).auditCommands(),
  },
  {
    name: 'token',
    description: 'bearer tokens of operators and services',
    load: () => operators('token'),
  },
  {
    name: 'login',
    description: 'a link that signs in to the console, once, within a quarter of an hour',
    load: () => operators('login'),
  },
  {
    name: 'status',
    description: 'what waits for a person, then the fleet in numbers',
    load: () => operators('status'),
  },
]

/** @param asked the group that will be run or explained; the others only have their names. */
async function buildProgram(asked: string | undefined): Promise<Command> {
  const program = new Command('linnet')
    .description('Rolls ONNX models out over a fleet of devices, and back when they are bad.')
    .version(CONTROLLER_VERSION, '--version')
    // `release create` has a --version of its own.
    .enablePositionalOptions()
    .addHelpText('after', HELP)
    .showHelpAfterError('(linnet <command> --help tells more)')
    .configureOutput({ writeErr: (text) => void process.stderr.write(text) })
    .exitOverride()
  program.command('demo').description('a fleet on this machine, told its story (--once --json)')
  program.command('controller').description('start the controller')
  program.command('agent').description('start an agent: a device of the fleet')
  program.command('serve').description('serve ONNX files on this machine, unsigned, to try them')
  program.command('profile').description('firmware profiles: detect | list | show NAME')
  for (const { name, description, load } of GROUPS) {
    const loaded = name === asked ? await load() : undefined
    program.addCommand(inheritExit((loaded ?? new Command(name)).description(description)))
  }
  program.command('tuf-client').description('a plain TUF client: init ROOT | refresh | download')
  return program
}

/** A usage error must throw, wherever in the tree it is found. */
function inheritExit(command: Command): Command {
  command.exitOverride()
  for (const child of command.commands) inheritExit(child)
  return command
}

async function main(argv: readonly string[]): Promise<number> {
  const [name, ...rest] = argv
  if (isProgram(name)) return runProgram(name, rest)
  if (name === 'tuf-client') return (await import('./tuf-client.ts')).runTufClient(rest)
  try {
    const program = await buildProgram(name === 'help' ? rest[0] : name)
    await program.parseAsync(argv, { from: 'user' })
    return Number(process.exitCode ?? EXIT.done)
  } catch (cause) {
    // Help and version end here too, with code 0.
    if (cause instanceof CommanderError) return cause.exitCode === 0 ? EXIT.done : EXIT.usage
    const problem = toProblem(cause, 'cli.failed')
    const text = argv.includes('--json') ? JSON.stringify({ error: problem }) : problemText(problem)
    process.stderr.write(`${text}\n`)
    return exitCodeOf(problem)
  }
}

// A reader that has seen enough (`| head`) closes the pipe; that is no failure of ours.
process.stdout.on('error', () => process.exit(0))
process.exitCode = await main(process.argv.slice(2))
