#!/usr/bin/env node
/**
 * The `linnet` command. It parses, calls the controller's interface and prints; it decides nothing.
 * Exit codes are in exit-codes.ts.
 */
import { Command, CommanderError } from 'commander'
import { toProblem } from '../../shared/kernel/result.ts'
import { auditCommands } from './audit-commands.ts'
import { deviceCommands } from './device-commands.ts'
import { EXIT, exitCodeOf } from './exit-codes.ts'
import { keyCommands } from './key-commands.ts'
import { operatorCommands } from './operator-commands.ts'
import { isProgram, runProgram } from './programs.ts'
import { releaseCommands } from './release-commands.ts'
import { rolloutCommands } from './rollout-commands.ts'
import { problemText } from './terminal.ts'
import { runTufClient } from './tuf-client.ts'

const HELP = `
Start with:
  linnet demo                                a fleet on this machine, and the whole story
  linnet controller                          the controller with broker, database and console
  linnet agent --controller URL --token T    a device
  linnet serve FILE.onnx                     a model alone, unsigned, to try it

Exit codes: 0 done, 1 usage, 2 refused, 3 rollout failed or rolled back, 4 time out, 5 unreachable.
`

export function buildProgram(): Command {
  const program = new Command('linnet')
    .description('Rolls ONNX models out over a fleet of devices, and back when they are bad.')
    .addHelpText('after', HELP)
    .showHelpAfterError('(linnet <command> --help tells more)')
    .configureOutput({ writeErr: (text) => void process.stderr.write(text) })
    .exitOverride()
  program.command('demo').description('a fleet on this machine, told its story (--once --json)')
  program.command('controller').description('start the controller')
  program.command('agent').description('start an agent: a device of the fleet')
  program.command('serve').description('serve ONNX files on this machine, unsigned, to try them')
  for (const commands of [
    keyCommands(),
    releaseCommands(),
    rolloutCommands(),
    deviceCommands(),
    auditCommands(),
    ...operatorCommands(),
  ]) {
    program.addCommand(inheritExit(commands))
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
  if (name === 'tuf-client') return runTufClient(rest)
  try {
    await buildProgram().parseAsync(argv, { from: 'user' })
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
