/** The waves of a rollout in the space of a word: passed, the one that runs, and those to come. */
import type { RolloutResource } from '../../../shared/api/resources.ts'
import { rolloutDetail } from '../../../shared/view/rollout-view.ts'

export function WaveDots({ rollout }: { rollout: RolloutResource }) {
  const { waves } = rolloutDetail(rollout, 0)
  const reached = rollout.startedAtMs === null ? 0 : rollout.wave + 1
  return (
    <span class="wave-dots">
      <span class="dots" aria-hidden="true">
        {waves.map(({ number, status }) => (
          <i key={number} class={`fill-${status.tone}`} />
        ))}
      </span>
      <span>
        <span class="hidden">wave </span>
        {reached}/{waves.length}
      </span>
    </span>
  )
}
