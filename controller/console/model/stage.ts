/** Stages of a release as word, glyph and tone. */
import type { ReleaseResource } from '../../../shared/api/resources.ts'
import type { Status } from '../../../shared/view/status.ts'

export const STAGE_STATUS: Readonly<Record<ReleaseResource['stage'], Status>> = {
  registered: { word: 'registered', glyph: '○', tone: 'idle' },
  staging: { word: 'staging', glyph: '▶', tone: 'busy' },
  production: { word: 'production', glyph: '✓', tone: 'good' },
  archived: { word: 'archived', glyph: '■', tone: 'idle' },
}
