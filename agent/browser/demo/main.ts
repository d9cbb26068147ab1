/**
 * The demo page: this browser as a device of the fleet. Composition root: opens the device, joins it
 * with a token from the address (`#token=...`, which never reaches a server) or the form, and shows
 * what the agent does.
 */
import '../stream-iteration.ts'
import { describeProblem, type Problem } from '../../../shared/kernel/result.ts'
import type { Identity } from '../../../shared/model/identity.ts'
import { keyId } from '../../../shared/signing/keys.ts'
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
  const identity = (await loadMembership(device.value)) ?? (await join(device.value, steps))
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
  document.querySelector('main')?.setAttribute('data-stage', 'live')
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
        onConnection: (connected) =>
          setStatus(connection, connected ? 'good' : 'warn', connected ? 'connected' : 'offline'),
      },
    },
    identity,
  )
  view.watch(browser)
  startLivePanel(createInferenceClient(browser.runtime.fetch), createControls(identity.device))
  addEventListener('pagehide', () => {
    void browser.agent.stop().finally(released)
  })
}

/** Resolves when this browser is a member; what the controller refuses is shown and asked again. */
function join(device: WebDevice, steps: Steps): Promise<Identity> {
  const form = byId('join-form', HTMLFormElement)
  const input = byId('token', HTMLInputElement)
  const problem = byId('join-problem', HTMLParagraphElement)
  const given = new URLSearchParams(location.hash.slice(1)).get('token')
  steps.set('join', 'busy', 'Needs a token that names the fleet and its root of trust.')
  return new Promise((resolve) => {
    async function attempt(token: string): Promise<void> {
      setText(problem, '')
      const joined = await joinFleet(device, CONTROLLER, token.trim())
      if (!joined.ok) {
        setText(problem, describeProblem(joined.error))
        input.focus()
        return
      }
      // The token is used; it should not stay in the address or the history.
      history.replaceState(null, '', location.pathname)
      resolve(joined.value)
    }
    form.addEventListener('submit', (event) => {
      event.preventDefault()
      void attempt(input.value)
    })
    if (given !== null) void attempt(given)
  })
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
