/**
 * One of several model hosts, over all its lives: its supervisor, its socket and run mark, and where it
 * stands. What follows from a change is the group's to decide.
 */
import { join } from 'node:path'
import type { FrontHost } from '../../front/front-protocol.ts'
import type { ServeOutcome } from '../../ports.ts'
import { memoryOf } from '../qualify/process-memory.ts'
import { createHostSupervisor, type HostNews, type HostSupervisor } from './host-supervisor.ts'
import type { ModelHostsOptions } from './model-hosts.ts'

export interface HostMember {
  readonly index: number
  readonly supervisor: HostSupervisor
  isListening(): boolean
  isEnding(): boolean
  /** No more requests; it leaves once it has answered those under way. */
  end(): void
  /** The newest plan that it serves in this life. */
  served(): { readonly planId: number; readonly outcome: ServeOutcome } | undefined
  /** Memory without any session; null where the system does not tell. */
  baseMb(): number | null
  /** How the front sees it. */
  seen(): FrontHost
}

export interface HostMemberOptions extends ModelHostsOptions {
  readonly index: number
  readonly weight: number
  /** Hosts that there are at least: that many share the memory from the start. */
  readonly hostsMin: number
  /** Where its socket lies. */
  readonly folder: string
  /** Numbers all lives of all hosts. */
  readonly nextLife: () => number
  /** It listens, serves or ended. */
  readonly onChange: () => void
}

export function createHostMember(options: HostMemberOptions): HostMember {
  const { index, weight, hostsMin, folder, host, hangMs, loadMsMax, onChange } = options
  const socketPath = join(folder, `host-${index}.sock`)
  let life = 0
  let isListening = false
  let isEnding = false
  let served: ReturnType<HostMember['served']>
  let baseMb: number | null = null
  /** Until there is a plan, a host that listens answers that there is none. */
  let hasPlan = false

  function onNews(news: HostNews): void {
    if (news.kind !== 'served') {
      options.onNews(news)
      return
    }
    served = { planId: news.planId, outcome: news.outcome }
    onChange()
  }

  const supervisor = createHostSupervisor({
    host: {
      ...{ ...host, socketPath, listen: null, grpc: null, markPath: `${host.markPath}-${index}` },
      // Draws of two hosts must differ, so each has a boot of its own.
      boot: index === 0 ? host.boot : `${host.boot}/${index}`,
      // Those beyond are started only while there is memory, and end when it is too little.
      sessionBytesMax: Math.floor(host.sessionBytesMax / hostsMin),
    },
    ...{ hangMs, loadMsMax, onNews, onCannotListen: options.onTrouble },
    onListening: () => {
      life = options.nextLife()
      isListening = true
      served = undefined
      hasPlan = false
      baseMb = memoryOf(supervisor.pid() ?? 0).residentMb
      options.onListening((message) => {
        if (message.kind === 'plan') hasPlan = true
        supervisor.send(message)
      })
      onChange()
    },
    onExit: (exit) => {
      isListening = false
      onChange()
      return options.onExit(exit, index)
    },
  })

  return {
    ...{ index, supervisor },
    isListening: () => isListening,
    isEnding: () => isEnding,
    end: () => {
      isEnding = true
    },
    served: () => (isListening ? served : undefined),
    baseMb: () => baseMb,
    seen() {
      const serves = isListening && (served !== undefined || !hasPlan)
      const takes = serves && !isEnding
      return { id: `${index}`, life, weight, socketPath, takes, ends: serves && isEnding }
    },
  }
}
