/**
 * The short way for `POST .../infer`, where microseconds count: requests whose heads are understood
 * without a doubt (infer-head.ts) are read from the socket itself and answered with one write, without
 * the objects of Node's HTTP server. At the first request that is anything else the connection is
 * handed over to that server, for good and with all bytes of that request: whatever is unusual, slow,
 * wrong or hostile in a head meets the one parser that is made for it, and has one answer.
 */
import type { Socket } from 'node:net'
import type { DataPlane } from '../data-plane.ts'
import { createByteLedger } from './byte-ledger.ts'
import { refuseForeign } from './foreign.ts'
import { type InferHead, readInferHead } from './infer-head.ts'
import type { InferenceApiOptions } from './inference-api.ts'
import { LaneConnection } from './lane-connection.ts'

export interface InferLane {
  /**
   * @param handOver called at most once; takes the socket from then on.
   * @param isUnix its requests may name any host.
   */
  enter(socket: Socket, handOver: () => void, isUnix: boolean): void
  /** Ends each connection behind the answer that is under way. */
  close(): void
}

export function createInferLane(
  plane: DataPlane,
  { requestBytesMax, loopbackOnly, ledger = createByteLedger() }: InferenceApiOptions,
): InferLane {
  const connections = new Map<Socket, LaneConnection>()

  /** What is to be refused by its head is left to the other way as well: it has the refusals. */
  function readHead(text: string, isUnix: boolean): InferHead | undefined {
    const head = readInferHead(text)
    if (head === undefined || head.bodyBytes > requestBytesMax) return undefined
    const host = isUnix ? undefined : head.host
    if (loopbackOnly && refuseForeign(host, head.origin) !== undefined) return undefined
    return head
  }

  return {
    enter(socket, handOver, isUnix) {
      const forget = (): void => void connections.delete(socket)
      const leave = (): void => {
        socket.off('close', forget)
        forget()
        handOver()
      }
      socket.once('close', forget)
      const connection = new LaneConnection({
        ...{ plane, ledger, socket, handOver: leave },
        readHead: (text) => readHead(text, isUnix),
      })
      connections.set(socket, connection)
    },
    close() {
      for (const connection of connections.values()) connection.close()
    },
  }
}
