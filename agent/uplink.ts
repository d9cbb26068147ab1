/**
 * Sends what the spool says is due, while there is a connection; one round at a time.
 *
 * Invariant: nothing is lost here: what the network does not take goes back into the spool under its
 * stamp. A full send buffer ends the round; the next one comes with the clock.
 */
import type { MessageOf } from '../shared/protocol/codec.ts'
import type { DiskWatch } from './disk-watch.ts'
import type { Clock, Log, UpTopic } from './ports.ts'
import type { Outgoing, Spool } from './spool.ts'

type UpKind = Outgoing['kind'] | 'presence'

/** Where each kind of message goes. */
export const TOPIC_OF: Readonly<Record<UpKind, UpTopic>> = {
  presence: 'up/state',
  report: 'up/report',
  telemetry: 'up/telemetry',
  notice: 'up/event',
}

/** `later`: the network does not take it now. `too_large`: no broker ever will. */
export type SendOutcome = 'sent' | 'later' | 'too_large'

export interface UplinkPorts {
  readonly clock: Clock
  readonly log: Log
  readonly spool: Spool
  readonly send: <K extends UpKind>(kind: K, message: MessageOf[K]) => Promise<SendOutcome>
  /** Told how writes of the spool end. */
  readonly disk?: DiskWatch
}

export interface Uplink {
  /** Something may be due. */
  wake(): void
  connection(connected: boolean): void
  close(): void
}

/** After a full send buffer or a failed journal write. */
const PAUSE_MS = 1_000

export function createUplink({ clock, log, spool, send, disk }: UplinkPorts): Uplink {
  let connected = false
  let running = false
  let again = false
  let cancel = (): void => undefined

  async function sendDue(): Promise<boolean> {
    const { due, unwritten } = await spool.take(clock.monotonicMs())
    if (unwritten === undefined) disk?.wrote()
    else if (disk?.failed(unwritten) !== true) {
      log.warn('the spool cannot be written', { reason: String(unwritten) })
    }
    for (const [i, { key, kind, message }] of due.entries()) {
      // One union of pairs; TypeScript sees the pair only inside each member.
      const outcome = connected
        ? await send(kind as 'telemetry', message as MessageOf['telemetry'])
        : 'later'
      if (outcome === 'too_large') spool.drop(key, clock.nowMs())
      if (outcome !== 'later') continue
      for (const rest of due.slice(i)) spool.putBack(rest.key)
      return false
    }
    return unwritten === undefined
  }

  async function run(): Promise<void> {
    let taken = true
    do {
      again = false
      taken = await sendDue()
    } while (again && taken && connected)
    running = false
    if (!connected) return
    const nextMs = taken ? spool.nextDueMs() : clock.monotonicMs() + PAUSE_MS
    cancel()
    if (nextMs === undefined) return
    cancel = clock.after(Math.max(1, nextMs - clock.monotonicMs()), wake)
  }

  function wake(): void {
    if (!connected) return
    again = true
    if (running) return
    running = true
    void run()
  }

  return {
    wake,
    connection(now) {
      connected = now
      cancel()
      if (!now) return
      spool.allDueAgain()
      wake()
    },
    close() {
      connected = false
      cancel()
    },
  }
}
