/**
 * The script of the workers in which models run. Composition root: the first message says whether this
 * worker is the model host or a qualifier. The page ends it with `terminate`, at any moment.
 */
import { toProblem } from '../../shared/kernel/result.ts'
import type { QualifierAnswer } from '../runtime/qualify/qualifier-protocol.ts'
import { startWorkerHost } from './worker-host.ts'
import { proveOrder } from './worker-proof.ts'
import type { FromWorker, ToWorker } from './worker-protocol.ts'

/** The part of a dedicated worker's global scope that is used here. */
interface WorkerScope {
  onmessage: ((event: MessageEvent<ToWorker>) => void) | null
  postMessage(message: FromWorker, moved: readonly Transferable[]): void
}
const scope = globalThis as unknown as WorkerScope

const post = (message: FromWorker, moved: readonly Transferable[] = []): void =>
  scope.postMessage(message, moved)
const crashed = (cause: unknown): void => {
  const { message } = toProblem(cause, 'host.crashed')
  const problem = { code: 'host.crashed', message: 'The WebAssembly module broke.', found: message }
  post({ kind: 'crashed', problem })
}

/** Messages that come while the host starts. */
let early: ToWorker[] = []
let take = (message: ToWorker): void => void early.push(message)

scope.onmessage = ({ data }) => {
  if (data.kind === 'prove') {
    const tell = (answer: QualifierAnswer, isLast = false): void =>
      post({ kind: 'proved', answer, isLast })
    proveOrder(data.order, crashed, tell).then((answer) => tell(answer, true), crashed)
  } else if (data.kind === 'host') {
    startWorkerHost(data.options, post, crashed).then((handle) => {
      take = handle
      post({ kind: 'ready' })
      for (const message of early) handle(message)
      early = []
    }, crashed)
  } else take(data)
}
