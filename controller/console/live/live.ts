/**
 * Keeps the store in step with the controller: one event stream says what changed, once a second
 * what changed is asked for again.
 *
 * Invariants: at most one repaint a second from here; after a lost connection everything is loaded
 * anew, so that a missed event cannot leave a lie on the screen; a slow answer slows the asking.
 */
import { batch, effect } from '@preact/signals'
import { endpointPath } from '../../../shared/api/endpoints.ts'
import type { ChangeResource } from '../../../shared/api/resources.ts'
import { readEvents } from './event-stream.ts'
import * as loads from './loads.ts'
import { noteVerdicts } from './samples.ts'
import * as store from './store.ts'

const TICK_MS = 1_000
const RETRY_MS_MIN = 500
const RETRY_MS_MAX = 8_000
/** Up to so many changed devices are asked for one by one; more, and the whole list. */
const SINGLES_MAX = 8
/** Between two loads pass at least this many times the duration of the former. */
const EASE = 3
/** While nobody is signed in there is little to ask. */
const SIGNED_OUT_MS = 5_000

const dirty = {
  everything: true,
  health: false,
  releases: false,
  devices: new Set<string>(),
  rollouts: new Set<string>(),
  decisions: new Set<string>(),
}
/** Rollouts whose decisions some view has shown. */
const watched = new Set<string>()
let lastEventId: number | undefined
let isBusy = false
let notBeforeMs = 0

export function startLive(): void {
  void followEvents()
  void tick()
  setInterval(() => void tick(), TICK_MS)
}

/** Asks for everything now: after signing in, or when a person is impatient. */
export function reload(): void {
  dirty.everything = true
  notBeforeMs = 0
  void tick()
}

/** A view shows the decisions of these rollouts: load them and keep them. */
export function watchDecisions(rollouts: readonly string[]): void {
  const fresh = rollouts.filter((id) => !watched.has(id))
  if (fresh.length === 0) return
  for (const id of fresh) {
    watched.add(id)
    dirty.decisions.add(id)
  }
  void tick()
}

async function followEvents(): Promise<void> {
  let retryMs = RETRY_MS_MIN
  const heard = () => {
    store.stream.value = { isOpen: true, heardAtMs: Date.now() }
  }
  const onOpen = () => {
    retryMs = RETRY_MS_MIN
    dirty.everything = true
    heard()
  }
  for (;;) {
    await signedIn()
    const listener = { onOpen, onActivity: heard, onChange: note }
    const status = await readEvents(endpointPath('events'), lastEventId, listener).catch(() => 0)
    if (status === 401) store.access.value = 'out'
    store.stream.value = { ...store.stream.peek(), isOpen: false }
    await new Promise((resolve) => setTimeout(resolve, retryMs))
    retryMs = Math.min(retryMs * 2, RETRY_MS_MAX)
  }
}

/** Resolves once somebody is signed in. */
function signedIn(): Promise<void> {
  return new Promise((resolve) => {
    const stop = effect(() => {
      if (store.access.value !== 'in') return
      resolve()
      queueMicrotask(() => stop())
    })
  })
}

function note({ id, kind, subject }: ChangeResource): void {
  lastEventId = id
  dirty.health = true
  if (kind === 'device' || kind === 'notice') dirty.devices.add(subject)
  if (kind === 'release') dirty.releases = true
  if (kind === 'rollout' || kind === 'decision') dirty.rollouts.add(subject)
  if (kind === 'decision' && watched.has(subject)) dirty.decisions.add(subject)
}

async function tick(): Promise<void> {
  if (isBusy) return
  isBusy = true
  const startedAtMs = Date.now()
  const wasIn = store.access.peek() === 'in'
  try {
    const asked = startedAtMs < notBeforeMs ? [] : takeLoads()
    const changes = await Promise.all(asked.map((load) => load()))
    // Not everything came: ask for all of it again.
    if (changes.includes(undefined)) dirty.everything = true
    batch(() => {
      for (const apply of changes) apply?.()
      store.nowMs.value = Date.now()
      noteVerdicts(store.rollouts.peek(), Date.now())
    })
    const isOut = store.access.peek() === 'out'
    const easeMs = isOut ? SIGNED_OUT_MS : EASE * (Date.now() - startedAtMs)
    if (asked.length > 0) notBeforeMs = startedAtMs + easeMs
  } finally {
    isBusy = false
  }
  // Just signed in: what there is to see is asked for at once.
  if (!wasIn && store.access.peek() === 'in') {
    notBeforeMs = 0
    void tick()
  }
}

/** What to ask for now. While nobody is signed in, only whether somebody is. */
function takeLoads(): loads.Load[] {
  if (store.access.peek() !== 'in') {
    dirty.everything = true
    return [loads.loadSession]
  }
  const all = dirty.everything
  const { devices, rollouts } = dirty
  const found: loads.Load[] = []
  if (all) found.push(loads.loadSession)
  if (all || dirty.health) found.push(loads.loadHealth)
  if (all || dirty.releases) found.push(loads.loadReleases)
  if (all || devices.size > SINGLES_MAX) found.push(loads.loadDevices)
  else found.push(...[...devices].map(loads.loadDevice))
  if (all || rollouts.size > SINGLES_MAX) found.push(loads.loadRollouts)
  else found.push(...[...rollouts].map(loads.loadRollout))
  found.push(...[...(all ? watched : dirty.decisions)].map(loads.loadDecisions))
  dirty.everything = dirty.health = dirty.releases = false
  for (const set of [devices, rollouts, dirty.decisions]) set.clear()
  return found
}
