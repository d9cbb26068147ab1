import { describe, expect, it } from 'vitest'
import { createStackMemory } from '../../../../agent/runtime/plane/stack-memory.ts'

const LIKE = new Float32Array(1)

describe('The memory of batches', () => {
  it('is used again, also for a smaller batch, and grows back', () => {
    const memory = createStackMemory()
    const first = memory.take('x', LIKE, 8)
    memory.giveBack('x', first)
    const smaller = memory.take('x', LIKE, 3)
    expect([smaller.length, smaller.buffer === first.buffer]).toEqual([3, true])
    memory.giveBack('x', smaller)
    const again = memory.take('x', LIKE, 8)
    expect([again.length, again.buffer === first.buffer]).toEqual([8, true])
  })

  it('is never shared by two runs, nor by two tensors', () => {
    const memory = createStackMemory()
    memory.giveBack('x', memory.take('x', LIKE, 8))
    const taken = [memory.take('x', LIKE, 8), memory.take('x', LIKE, 8), memory.take('y', LIKE, 8)]
    expect(new Set(taken.map(({ buffer }) => buffer)).size).toBe(3)
  })

  it('is replaced when it is too small, and not kept when it is large', () => {
    const memory = createStackMemory()
    const small = memory.take('x', LIKE, 2)
    memory.giveBack('x', small)
    const large = memory.take('x', LIKE, 1_000_000)
    expect(large.length).toBe(1_000_000)
    memory.giveBack('x', large)
    expect(memory.take('x', LIKE, 2).buffer).not.toBe(large.buffer)
  })
})
