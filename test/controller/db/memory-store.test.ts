import { describe } from 'vitest'
import { createMemoryStore } from '../../../controller/db/memory-store.ts'
import { storeContract } from '../../contract/store.contract.ts'

describe('the store in memory', () => {
  storeContract(async () => {
    const store = createMemoryStore()
    return { store, reopen: async () => store }
  })
})
