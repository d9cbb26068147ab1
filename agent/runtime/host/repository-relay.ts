/**
 * The host's end of the model repository: it knows what the control process told it last, and passes
 * commands on. Invariants: every command gets one outcome; at most `PENDING_MAX` are under way.
 */
import { type Result, refuse } from '../../../shared/kernel/result.ts'
import type { ModelRepository, RepositoryEntry } from '../../serve/model-repository.ts'
import type { FromHost } from './host-protocol.ts'

export interface RepositoryRelay extends ModelRepository {
  told(entries: readonly RepositoryEntry[]): void
  changed(id: string, result: Result<undefined>): void
  /** A version of this model is being loaded. */
  isComing(model: string): boolean
}

const PENDING_MAX = 16

/** @param name of this host among all that the control process talks to. */
export function createRepositoryRelay(
  name: string,
  send: (message: Extract<FromHost, { kind: 'change' }>) => void,
): RepositoryRelay {
  const pending = new Map<string, (result: Result<undefined>) => void>()
  let entries: readonly RepositoryEntry[] = []
  let count = 0
  return {
    entries: () => entries,
    told(next) {
      entries = next
    },
    change(command) {
      if (pending.size >= PENDING_MAX) {
        return Promise.resolve(
          refuse('infer.overloaded', 'Too many loads and unloads are under way.', {
            expected: `at most ${PENDING_MAX}`,
            next: 'try again in 5 s',
          }),
        )
      }
      count += 1
      const id = `${name}/${count}`
      return new Promise((resolve) => {
        pending.set(id, resolve)
        send({ kind: 'change', id, command })
      })
    },
    isComing: (model) => entries.some(({ name, state }) => name === model && state === 'LOADING'),
    changed(id, result) {
      pending.get(id)?.(result)
      pending.delete(id)
    },
  }
}
