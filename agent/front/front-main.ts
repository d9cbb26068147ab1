/**
 * The front: where a device has several model hosts, this process owns the sockets of the local API
 * and passes each request on to one of them. Composition root of its process. It runs no model and
 * holds no MQTT connection; it keeps nothing that its parent cannot tell it again, and dies with it.
 */

import { createPrng } from '../../shared/kernel/prng.ts'
import { toProblem } from '../../shared/kernel/result.ts'
import { endInOrder, endWithAgent } from '../runtime/host/end-with-agent.ts'
import { listen } from '../serve/listen.ts'
import { createFrontListener } from './front-listener.ts'
import type { FromFront, FrontHost, FrontOptions, ToFront } from './front-protocol.ts'
import { createGather } from './gather.ts'
import { createHostTable } from './host-table.ts'
import { createHostTotals } from './host-totals.ts'
import { createHostAgent, createPassOn } from './pass-on.ts'

const BEAT_MS = 250
const LOAD_MS = 1_000
/** A host that is killed takes along at most so much of what it counted. */
const TOTALS_MS = 1_000

const options = JSON.parse(process.argv[2] ?? '{}') as FrontOptions
const send = (message: FromFront): void => {
  // The parent may be gone; then `disconnect` ends this process.
  if (process.connected) process.send?.(message, undefined, undefined, () => undefined)
}

async function main(): Promise<void> {
  let scaled = { up: 0, down: 0 }
  let pinned: ReadonlySet<string> = new Set()
  const drained = new Set<string>()
  const agent = createHostAgent()
  const table = createHostTable({
    policy: options.policy,
    draw: createPrng(options.seed).below,
    nowMs: () => performance.now(),
    onDrained: (host) => void tellDrained(host),
  })
  const totals = createHostTotals({ table, agent })
  const gather = createGather({ table, agent, totals, scaled: () => scaled })

  /** Once for each life; what it counted is taken down before it ends. */
  async function tellDrained(host: FrontHost): Promise<void> {
    const { id, life } = host
    if (drained.has(`${id}/${life}`)) return
    drained.add(`${id}/${life}`)
    await totals.refresh()
    send({ kind: 'drained', id, life })
  }

  const { requestBytesMax, deadlineMsMax, answerMsMax } = options
  const passOn = createPassOn({ table, agent })
  const direct = createFrontListener({
    ...{ gather, passOn, requestBytesMax, deadlineMsMax, answerMsMax },
    isPinned: (model) => pinned.has(model),
  })
  const { listen: tcp, socketPath } = options
  const listening = await listen(unreached, { tcp, socketPath, direct })
  process.on('message', (message: ToFront) => {
    if (message.kind === 'close') {
      void endInOrder(listening.close)
      return
    }
    scaled = message.scaled
    pinned = new Set(message.pinned)
    for (const name of drained) if (!message.hosts.some(isCalled(name))) drained.delete(name)
    table.set(message.hosts)
    send({ kind: 'heard', told: message.told })
  })
  setInterval(() => send({ kind: 'beat' }), BEAT_MS)
  setInterval(() => send({ kind: 'load', ...table.load() }), LOAD_MS)
  setInterval(() => void totals.refreshIfUsed(), TOTALS_MS).unref()
  send({ kind: 'listening', port: listening.port ?? null })
}

const isCalled =
  (name: string) =>
  ({ id, life }: FrontHost): boolean =>
    `${id}/${life}` === name

/** The listener takes every request. */
function unreached(): Response {
  return new Response(null, { status: 500 })
}

// A front without its agent would pass requests on to hosts that end with it.
endWithAgent()

main().catch((cause: unknown) => {
  send({ kind: 'cannotListen', problem: toProblem(cause, 'serve.cannot_listen') })
  setImmediate(() => process.exit(1))
})
