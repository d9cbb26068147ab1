/** A model whose limit is the device's goes to one host, wherever the release with the limit stands. */
import { expect, it } from 'vitest'
import { pinnedModels } from '../../../../agent/runtime/host/pinned-models.ts'
import { createRouteSlots } from '../../../../agent/runtime/plane/route-slots.ts'
import { aManifest } from '../../memory-ports.ts'
import { buildLive, SCORES } from '../plane-builder.ts'

const free = aManifest({ model: 'motor', version: '1.0.0', sha256: 'a'.repeat(64) })
const limited = { ...free, disclosure: { requestsPerMinuteMax: 60 } }
const release = (manifest: typeof free) => ({ resolved: { manifest } })
const live = (manifest: typeof free) => buildLive(() => SCORES(0.9, 0.1), { manifest })
const none = { candidate: null, previous: null }

it('is pinned by each release that may answer, and by no other rule than the limit itself', () => {
  const current = release(free)
  const other = release(limited)
  const models = [
    { model: 'free', ...none, current, others: [current] },
    { model: 'current', ...none, current: other },
    { model: 'candidate', ...none, current, candidate: other },
    { model: 'previous', ...none, current, previous: other },
    { model: 'others', ...none, current, others: [current, other] },
    { model: 'only others', ...none, current: null, others: [other] },
  ]
  const pinned = pinnedModels(models)
  expect(pinned).toEqual(['current', 'candidate', 'previous', 'others', 'only others'])
  const slots = createRouteSlots({ ...none, current: live(free), others: [live(limited)] })
  expect(slots.rate).toMatchObject({ perMinute: 60 })
})
