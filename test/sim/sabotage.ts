/**
 * The system broken on purpose, one promise at a time, so that tests can see each checker fail. Never
 * set outside tests.
 */
import type { StoreChange } from '../../controller/db/store.ts'

export interface Sabotage {
  /** The model host loads whatever stands under a name. */
  readonly loadsUnverified?: boolean
  /** Disks say that a state is durable when it is not. */
  readonly lyingDisks?: boolean
  /** Garbage collection spares nothing. */
  readonly greedyGarbage?: boolean
  /** This device never gets an assignment. */
  readonly deaf?: string
  /** What is stored instead of what the controller writes. */
  readonly tamper?: (changes: readonly StoreChange[]) => readonly StoreChange[]
}
