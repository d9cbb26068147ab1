/**
 * The demo page: this browser as a device of the fleet. Composition root: opens the device, joins it
 * with a token from the address (`#token=...`, which never reaches a server) or the form, and shows
 * what the agent does.
 */
import '../stream-iteration.ts'
import { describeProblem, type Problem } from '../../../shared/kernel/result.ts'
import type { Identity } from '../../../shared/model/identity.ts'
import { keyId } from '../../../shared/signing/keys.ts'
import type { Agent } from '../../agent.ts'
import type { Log } from '../../ports.ts'
import { joinFleet, loadMembership, startBrowserAgent } from '../browser-agent.ts'
import { createInferenceClient } from '../inference-client.ts'
import { holdDevice } from '../one-page.ts'
import { openWebDevice, type WebDevice } from '../web-device.ts'
import { createControls } from './controls.ts'
import { byId, make, setStatus, setText } from './dom.ts'
import { shortDigest } from './format.ts'
import { startLivePanel } from './live-panel.ts'
import { createProgressView } from './progress-view.ts'
import { createQualificationTable } from './qualification-table.ts'
import { createSteps, type Steps } from './steps.ts'
import { createTrustPanel } from './trust-panel.ts'

const CONTROLLER = location.origin
const LOG_LINES_MAX = 200
/** Without a connection for so long, the person is asked. */
const REJOIN_AFTER_MS = 10_000

async function main(): Promise<void> {
  const steps = createSteps()
  const connection = byId('connection', HTMLParagraphElement)
  const released = await holdDevice(() => {
    setStatus(connection, 'warn', 'open in another tab')
    steps.set(
      'join',
      'warn',
      'Another tab of this browser is this device; it goes on when that closes.',
    )
  })
  const device = await openWebDevice(new URL('./profiles/', import.meta.url))
  if (!device.ok) {
    showProblem(device.error)
    return
  }
  const lacks = device.value.lacks.map((sentence) => make('li', '', sentence))
  byId('lacks', HTMLUListElement).replaceChildren(...lacks)
  const identity = await membershipOf(device.value, steps)
  const { fleet, device: name } = identity
  const fingerprint = keyId(device.value.key.signer.key)
  setText(byId('who', HTMLParagraphElement), `${name} of ${fleet}`)
  const { scheme } = device.value.key.signer.key
  const words = `Key ${shortDigest(fingerprint)}, ${scheme}, ${device.value.key.protection}.`
  steps.set('join', 'good', words)
  await start(device.value, identity, steps, released)
}

async function start(
  device: WebDevice,
  identity: Identity,
  steps: Steps,
  released: () => void,
): Promise<void> {
  const main = document.querySelector('main')
  main?.setAttribute('data-stage', 'live')
  const connection = byId('connection', HTMLParagraphElement)
  const trust = createTrustPanel(keyId(device.key.signer.key))
  const table = createQualificationTable(device.gpuMissing)
  const view = createProgressView(steps, trust, table)
  for (const role of ['root', 'timestamp', 'snapshot', 'targets', 'production']) {
    const bytes = await device.records.get('metadata', role)
    if (bytes instanceof Uint8Array) trust.trusted(role, bytes)
  }
  setStatus(connection, 'busy', 'connecting')
  const browser = await startBrowserAgent(
    {
      device,
      controller: CONTROLLER,
      script: new URL('./runtime-worker-main.js', import.meta.url),
      log: createPageLog(),
      watch: {
        onTrusted: trust.trusted,
        onProgress: view.download,
        onAttempt: table.attempt,
        onConnection: (connected) => {
          setStatus(connection, connected ? 'good' : 'warn', connected ? 'connected' : 'offline')
          if (connected) main?.setAttribute('data-stage', 'live')
        },
      },
    },
    identity,
  )
  view.watch(browser)
  setInterval(() => {
    if (connection.dataset.tone !== 'good') offerRejoin(device, browser.agent)
  }, REJOIN_AFTER_MS)
  startLivePanel(createInferenceClient(browser.runtime.fetch), createControls(identity.device))
  addEventListener('pagehide', () => {
    void browser.agent.stop().finally(released)
  })
}

/** A token in the address wins over what is known: the fleet may be a new one at the old address. */
async function membershipOf(device: WebDevice, steps: Steps): Promise<Identity> {
  const known = await loadMembership(device)
  const given = new URLSearchParams(location.hash.slice(1)).get('token')
  if (given !== null) {
    const joined = await tryToken(device, given)
    if (joined !== undefined) return joined
  }
  if (known !== undefined) return known
  steps.set('join', 'busy', 'Needs a token that names the fleet and its root of trust.')
  return new Promise((resolve) => offerForm(device, resolve))
}

/** The form in which a token is pasted; what the controller refuses is shown and asked again. */
function offerForm(
  device: WebDevice,
  joined: (identity: Identity) => void,
  before: () => Promise<void> = async () => undefined,
): void {
  async function submit(): Promise<void> {
    await before()
    const identity = await tryToken(device, byId('token', HTMLInputElement).value)
    if (identity !== undefined) joined(identity)
  }
  byId('join-form', HTMLFormElement).onsubmit = (event) => {
    event.preventDefault()
    void submit()
  }
}

async function tryToken(device: WebDevice, token: string): Promise<Identity | undefined> {
  const problem = byId('join-problem', HTMLParagraphElement)
  setText(problem, '')
  const joined = await joinFleet(device, CONTROLLER, token.trim())
  // Used or wrong, it should not stay in the address or the history.
  history.replaceState(null, '', location.pathname)
  if (joined.ok) return joined.value
  setText(problem, describeProblem(joined.error))
  return undefined
}

/** A controller that was set up anew does not know this device; its person can join again. */
function offerRejoin(device: WebDevice, agent: Agent): void {
  const main = document.querySelector('main')
  if (main?.dataset.stage !== 'live') return
  main.dataset.stage = 'rejoin'
  setText(byId('join-title', HTMLHeadingElement), 'The controller does not answer this device')
  setText(
    byId('join-text', HTMLParagraphElement),
    'It may be away, then this page goes on by itself; what it has serves meanwhile. If the fleet was set up anew, or this device was put out of it, join with a new token.',
  )
  // The old agent must not write what the new membership forgets.
  const stopped = () => agent.stop()
  offerForm(device, () => location.reload(), stopped)
}

function createPageLog(): Log {
  const list = byId('log', HTMLOListElement)
  const add = (tone: string) => (message: string, facts?: Readonly<Record<string, unknown>>) => {
    const time = new Date().toLocaleTimeString()
    const text = facts === undefined ? message : `${message} ${JSON.stringify(facts)}`
    const line = make('li', '', `${time} ${text}`)
    line.dataset.tone = tone
    list.append(line)
    while (list.childElementCount > LOG_LINES_MAX) list.firstElementChild?.remove()
  }
  return { info: add('idle'), warn: add('warn') }
}

function showProblem(problem: Problem): void {
  const element = byId('problem', HTMLParagraphElement)
  element.hidden = false
  setText(element, describeProblem(problem))
}

main().catch((cause: unknown) => {
  const found = cause instanceof Error ? cause.message : String(cause)
  showProblem({ code: 'page.failed', message: 'This page failed.', found, next: 'reload it' })
})
