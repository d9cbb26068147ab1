/**
 * The qualifier: a disposable process in which a model is loaded for the first time. Two callers:
 *   the agent, over IPC: proves one release on one execution provider (qualifier-protocol.ts)
 *   `linnet release create`, `linnet serve` and applications, by arguments: `derive`
 *   (derive-command.ts); refusals are a JSON `Problem` on stderr, exit code 1. An abort inside ONNX
 *   Runtime ends it by a signal, which the caller must expect.
 */
import { err, type Problem } from '../../../shared/kernel/result.ts'
import { temporaryProblem } from '../../temporary-folder.ts'
import { derive } from './derive-command.ts'
import { loadProblem } from './load-problem.ts'
import { proveRelease } from './prove-release.ts'
import type { QualifierAnswer, QualifierNews, QualifierTask } from './qualifier-protocol.ts'

function fail(problem: Problem): void {
  process.stderr.write(`${JSON.stringify(problem)}\n`)
  process.exitCode = 1
}

async function deriveCommand(argv: string[]): Promise<void> {
  const whyNot = (cause: unknown) => err(temporaryProblem(cause) ?? loadProblem(cause))
  const derived = await derive(argv).catch(whyNot)
  if (derived.ok) process.stdout.write(`${JSON.stringify(derived.value)}\n`)
  else fail(derived.error)
}

const [command, ...rest] = process.argv.slice(2)
if (command === 'derive') void deriveCommand(rest)
else if (process.send !== undefined) {
  process.once('message', (task: QualifierTask) => {
    // Whoever ends this process is the agent: it has the answer, or runs out of patience.
    const tell = (answer: QualifierAnswer, isLast = false): void => {
      process.send?.({ answer, isLast } satisfies QualifierNews)
    }
    void proveRelease(task, tell).then((answer) => tell(answer, true))
  })
  process.once('disconnect', () => process.exit(0))
} else {
  fail({ code: 'qualifier.usage', message: 'The qualifier takes the command "derive".' })
}
