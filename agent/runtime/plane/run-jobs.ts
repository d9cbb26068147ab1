/**
 * How the queue runs requests: each by itself, or those of one release together where qualification
 * proved that this changes no answer and gains time. Every failure is a value.
 */
import { ok, type Result, refuse, toProblem } from '../../../shared/kernel/result.ts'
import type { NumericElements, TensorValue } from '../../../shared/model/tensor-value.ts'
import type { LiveRelease } from './live-release.ts'
import type { QueueWork, RunQueue } from './run-queue.ts'
import { fitsTogether, rowsOf, splitOutputs, stackInputs } from './stack-batch.ts'
import { createStackMemory, type StackMemory } from './stack-memory.ts'

export interface RunJob {
  readonly live: LiveRelease
  readonly inputs: readonly TensorValue[]
  /** Names of the wanted outputs; absent: all. */
  readonly outputs: readonly string[] | undefined
  /** Along the batch of its model, at least one. */
  readonly rows: number
}

export type Computed = Result<readonly TensorValue[]>
export type JobQueue = RunQueue<RunJob, Computed>

/** @param mark told which release runs now; null: none. */
export function createJobWork(
  mark: (live: LiveRelease | null) => void,
): QueueWork<RunJob, Computed> {
  const memories = new WeakMap<LiveRelease, StackMemory>()

  function memoryOf(live: LiveRelease): StackMemory {
    const found = memories.get(live) ?? createStackMemory()
    memories.set(live, found)
    return found
  }

  return {
    rows: ({ rows }) => rows,
    async runOne({ live, inputs, outputs }) {
      mark(live)
      try {
        return ok(pick(await live.session.run(inputs, outputs), outputs, live))
      } catch (cause) {
        return runFailed(live, cause)
      } finally {
        mark(null)
      }
    },
    async runTogether(jobs) {
      const { live } = jobs[0]!
      mark(live)
      try {
        return await runStacked(live, jobs, memoryOf(live))
      } catch {
        // One of them may be to blame: each is run again by itself and has its own failure.
        return undefined
      } finally {
        mark(null)
      }
    },
    company(head) {
      const { batching } = head.live
      if (batching === null) return undefined
      const { inputs } = batching.layout
      let rows = rowsOf(head.inputs, inputs)
      if (rows === undefined || rows >= batching.rowsMax) return undefined
      return (other) => {
        if (other.live !== head.live) return false
        const more = rowsOf(other.inputs, inputs)
        if (more === undefined || rows! + more > batching.rowsMax) return false
        if (!fitsTogether(head.inputs, other.inputs, inputs)) return false
        rows! += more
        return true
      }
    },
  }
}

async function runStacked(
  live: LiveRelease,
  jobs: readonly RunJob[],
  memory: StackMemory,
): Promise<readonly Computed[] | undefined> {
  const { session, batching } = live
  if (batching === null) return undefined
  const { inputs: inputAxes, outputs: outputAxes } = batching.layout
  const inputs = stackInputs(
    jobs.map((job) => job.inputs),
    inputAxes,
    memory,
  )
  const outputs = await session.run(inputs, wantedByAny(jobs))
  const rows = jobs.map((job) => rowsOf(job.inputs, inputAxes) ?? 0)
  const split = splitOutputs(outputs, rows, outputAxes)
  // Only now: an output may be the input itself.
  for (const { name, data } of inputs) {
    if (inputAxes[name] !== null) memory.giveBack(name, data as NumericElements)
  }
  return split?.map((own, i) => ok(pick(own, jobs[i]?.outputs, live)))
}

function wantedByAny(jobs: readonly RunJob[]): readonly string[] | undefined {
  const names = new Set<string>()
  for (const { outputs } of jobs) {
    if (outputs === undefined) return undefined
    for (const name of outputs) names.add(name)
  }
  return [...names]
}

/** In the order of the request, else of the manifest, whatever the engine's; mostly it is the same. */
function pick(
  outputs: readonly TensorValue[],
  names: readonly string[] | undefined,
  { manifest }: LiveRelease,
): readonly TensorValue[] {
  const specs = manifest.outputs
  let inOrder = 0
  for (const { name } of outputs) {
    if (name !== (names === undefined ? specs[inOrder]?.name : names[inOrder])) break
    inOrder += 1
  }
  if (inOrder === outputs.length && inOrder === (names ?? specs).length) return outputs
  const order = names ?? specs.map(({ name }) => name)
  return order.flatMap((name) => outputs.find((output) => output.name === name) ?? [])
}

function runFailed(live: LiveRelease, cause: unknown): Result<never> {
  const { message } = toProblem(cause, 'infer.failed')
  return refuse('infer.failed', 'The model could not compute this request.', {
    found: `${live.version}: ${message}`.slice(0, 500),
  })
}
