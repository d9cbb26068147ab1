/**
 * Turns the state of the agent's update machine into the five steps, twice a second. The machine is the
 * truth; nothing here decides.
 */
import type { Artifact } from '../../../shared/model/manifest.ts'
import type { DeviceState, Installed } from '../../../shared/update/state.ts'
import type { BrowserAgent } from '../browser-agent.ts'
import { byId, setText } from './dom.ts'
import { bytesText, percentText, shortDigest } from './format.ts'
import type { QualificationTable } from './qualification-table.ts'
import type { Steps } from './steps.ts'
import type { TrustPanel } from './trust-panel.ts'

export interface ProgressView {
  download(artifact: Artifact, receivedBytes: number): void
  watch(browser: BrowserAgent): void
}

const PERIOD_MS = 500

export function createProgressView(
  steps: Steps,
  trust: TrustPanel,
  table: QualificationTable,
): ProgressView {
  /** The release whose attempts, or whose finished record, stand in the table. */
  let tried = ''
  let recorded = ''

  function show(state: DeviceState): void {
    const { job, durable } = state
    const serving = durable.models.flatMap(({ current }) => current ?? [])
    if (job !== null) showJob(job)
    else showServing(serving, state)
    trust.assignment(durable)
  }

  function showJob({ release, phase }: NonNullable<DeviceState['job']>): void {
    const name = `${release.model}@${release.version}`
    if (phase === 'resolving') {
      steps.set('trust', 'busy', `Checks who signed ${name}.`)
      return
    }
    steps.set('trust', 'good', `${release.target} is signed by the publishers.`)
    if (phase === 'fetching' || phase === 'verifying') return
    steps.set('download', 'good', `${shortDigest(release.sha256)} is what was signed.`)
    if (phase !== 'qualifying') return
    steps.set('qualify', 'busy', `${name} computes its golden vectors here.`)
    if (tried !== release.sha256) table.begin(name)
    tried = release.sha256
    recorded = ''
  }

  function showServing(serving: readonly Installed[], state: DeviceState): void {
    const { durable, servedPlan, plan } = state
    const failure = durable.failures.at(-1)
    if (failure !== undefined && serving.length === 0) {
      steps.set('qualify', 'bad', `${failure.problem.message} [${failure.problem.code}]`)
      return
    }
    const [current] = serving
    if (current === undefined) {
      const words =
        durable.desired === null
          ? 'Waits for the controller’s assignment.'
          : 'No release is assigned to this device yet: linnet rollout create'
      steps.set('trust', 'idle', words)
      return
    }
    const slots = durable.models.find(({ model }) => model === current.model)
    const newest = slots?.candidate ?? current
    steps.set('trust', 'good', `${newest.target} is signed by the publishers.`)
    steps.set('download', 'good', `${bytesText(newest.length)}, ${shortDigest(newest.sha256)}`)
    const { chosen, attempts } = newest.qualification
    const refused = attempts.filter(({ outcome }) => outcome === 'refused').length
    const tail = refused === 0 ? '' : `, ${refused} refused`
    steps.set('qualify', 'good', `${chosen} is right and fastest${tail}.`)
    if (recorded !== newest.sha256) {
      table.record(`${newest.model}@${newest.version}`, newest.qualification)
    }
    recorded = newest.sha256
    const canary = slots?.candidate
    const words = canary
      ? `${current.version}, and ${canary.version} with ${percentText(slots.trafficShare / 1e6)} of the requests`
      : `${current.model}@${current.version}`
    steps.set('serve', servedPlan === plan ? 'good' : 'busy', words)
  }

  return {
    download({ file, length }, receivedBytes) {
      steps.progress(receivedBytes / length)
      const words = `${file}: ${bytesText(receivedBytes)} of ${bytesText(length)}`
      steps.set('download', receivedBytes < length ? 'busy' : 'good', words)
    },
    watch({ agent }) {
      const telemetry = byId('telemetry', HTMLParagraphElement)
      setInterval(() => {
        show(agent.state())
        const { entries, bytes, dropped } = agent.spoolSize()
        const lost = dropped.windows === 0 ? '' : `; ${dropped.windows} dropped`
        const text = `Telemetry: ${entries} messages wait for the controller (${bytesText(bytes)})${lost}. Only counts leave this browser, never the inputs.`
        setText(telemetry, text)
      }, PERIOD_MS)
    },
  }
}
