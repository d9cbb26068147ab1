/** The home page: what needs a person first, then devices by state and releases in use. */
import type { DeviceResource, HealthResource, RolloutResource } from '../api/resources.ts'
import { type AttentionItem, attentionOf } from './attention.ts'
import { deviceStatus, type Status } from './status.ts'
import { count, grouped } from './words.ts'

export interface FleetView {
  readonly headline: string
  /** At most 50; the rest is counted. */
  readonly attention: readonly AttentionItem[]
  readonly attentionLeftOut: number
  readonly devicesByState: readonly { readonly status: Status; readonly devices: number }[]
  /** Shares of devices by what they serve as `current`, most first. */
  readonly releasesInUse: readonly { readonly release: string; readonly devices: number }[]
  readonly health: readonly (readonly [string, string])[]
}

const ATTENTION_MAX = 50

export function fleetView(
  fleet: {
    devices: readonly DeviceResource[]
    rollouts: readonly RolloutResource[]
    health: HealthResource
  },
  nowMs: number,
): FleetView {
  const { devices, health } = fleet
  const attention = attentionOf(fleet, nowMs)
  const waiting = attention.length
  const { online, enrolled } = health.devices
  return {
    headline:
      waiting === 0
        ? `Nothing waits for you: ${count(online, 'device')} of ${grouped(enrolled)} online.`
        : `${count(waiting, 'thing waits', 'things wait')} for you.`,
    attention: attention.slice(0, ATTENTION_MAX),
    attentionLeftOut: Math.max(0, waiting - ATTENTION_MAX),
    devicesByState: devicesByState(devices),
    releasesInUse: releasesInUse(devices),
    health: healthFacts(health),
  }
}

function devicesByState(devices: readonly DeviceResource[]): FleetView['devicesByState'] {
  const groups = new Map<string, { status: Status; devices: number }>()
  for (const device of devices) {
    const status = deviceStatus(device)
    const group = groups.get(status.word)
    groups.set(status.word, { status, devices: (group?.devices ?? 0) + 1 })
  }
  return [...groups.values()].toSorted((a, b) => b.devices - a.devices)
}

function releasesInUse(devices: readonly DeviceResource[]): FleetView['releasesInUse'] {
  const counts = new Map<string, number>()
  for (const device of devices) {
    for (const slot of device.report?.slots ?? []) {
      if (slot.slot !== 'current') continue
      const release = `${slot.model}@${slot.version}`
      counts.set(release, (counts.get(release) ?? 0) + 1)
    }
  }
  return [...counts]
    .map(([release, n]) => ({ release, devices: n }))
    .toSorted((a, b) => b.devices - a.devices)
}

function healthFacts(health: HealthResource): (readonly [string, string])[] {
  const { messages, broker } = health
  const refused = Object.values(messages.refused).reduce((sum, n) => sum + n, 0)
  return [
    ['controller', `${health.status}, version ${health.version}`],
    ['root', health.rootVersion === null ? 'none' : `version ${health.rootVersion}`],
    ['broker', count(broker.clients, 'client')],
    ['received', `${grouped(messages.received)} messages, ${grouped(messages.merged)} merged`],
    ['not merged', `${grouped(messages.duplicates)} repeated, ${grouped(refused)} refused`],
  ]
}
