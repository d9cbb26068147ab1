import { describe, expect, it } from 'vitest'
import { hostileDocuments } from './hostile-documents.ts'

describe('a document as bad as the limits let it be', () => {
  it.each(hostileDocuments().map((row) => [row.name, row] as const))(
    'is read or refused: %s',
    (_, { read, outcome }) => {
      expect(read()).toBe(outcome)
    },
  )
})
