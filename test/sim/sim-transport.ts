/**
 * The agent's `Transport` over a simulated line: connects with the real back-off, tells the agent of
 * connections lost, and goes silent with its device's life. What is sent while a broken line has not
 * been noticed yet is gone; the spool sends it again.
 */
import type { Clock, LastWill, Transport, UpTopic } from '../../agent/ports.ts'
import { createBackoff } from '../../agent/transport/backoff.ts'
import type { Line } from './network.ts'
import type { Session, SimBroker } from './sim-broker.ts'
import type { Life } from './world.ts'

/** Until a device notices that nobody answers. */
const NOTICED_MS = 30_000

export interface SimTransportPorts {
  readonly device: string
  readonly life: Life
  readonly line: Line
  readonly broker: SimBroker
  readonly clock: Clock
  readonly random: () => number
  /** A boundary at which the power may go. */
  readonly boundary: (effect: string) => void
}

export function createSimTransport(ports: SimTransportPorts): Transport {
  return new SimTransport(ports)
}

class SimTransport implements Transport {
  readonly #ports: SimTransportPorts
  readonly #backoff: ReturnType<typeof createBackoff>
  #session: Session | undefined
  #lastWill: LastWill = () => new Uint8Array()
  #closed = false
  #onMessage: Parameters<Transport['onMessage']>[0] = () => undefined
  #onConnection: (connected: boolean) => void = () => undefined

  constructor(ports: SimTransportPorts) {
    this.#ports = ports
    this.#backoff = createBackoff(ports)
    ports.line.onBreak((reason) => this.#lineBroke(reason))
  }

  open(lastWill: LastWill): void {
    this.#lastWill = lastWill
    const { life, line } = this.#ports
    life.after(line.delayMs(), () => this.#connect())
  }

  publish(topic: UpTopic, payload: Uint8Array): boolean {
    const { life, boundary, line } = this.#ports
    boundary(`publish ${topic}`)
    if (!life.alive || this.#session === undefined) return false
    if (line.isUp()) this.#session.publish(topic, payload)
    return true
  }

  onMessage(handler: Parameters<Transport['onMessage']>[0]): void {
    this.#onMessage = handler
  }

  onConnection(handler: (connected: boolean) => void): void {
    this.#onConnection = handler
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#session?.close('ended', true)
    this.#session = undefined
  }

  #connect(): void {
    const { device, line, broker, life } = this.#ports
    if (this.#closed || this.#session !== undefined) return
    let session: Session | undefined
    if (line.isUp()) {
      session = broker.connect(device, line, this.#lastWill() as Uint8Array, {
        message: (topic, payload) => {
          if (life.alive && session === this.#session) this.#onMessage(topic, payload)
        },
        closed: () => {
          if (life.alive && session === this.#session) this.#lost()
        },
      })
    }
    if (session === undefined) {
      this.#retry()
      return
    }
    this.#session = session
    this.#backoff.connected()
    session.subscribe()
    this.#onConnection(true)
  }

  #lineBroke(reason: string): void {
    const { life, clock } = this.#ports
    const session = this.#session
    if (!life.alive || session === undefined) return
    session.close(reason, false)
    clock.after(NOTICED_MS, () => {
      if (session === this.#session) this.#lost()
    })
  }

  #lost(): void {
    this.#session = undefined
    this.#onConnection(false)
    this.#retry()
  }

  #retry(): void {
    if (this.#closed) return
    this.#ports.life.after(this.#backoff.nextDelayMs(), () => this.#connect())
  }
}
