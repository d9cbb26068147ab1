import { describe, expect, it } from 'vitest'
import { toldProblem } from '../../../shared/model/told-problem.ts'

const TOLD = '{"code":"golden.random","message":"It is.","found":"y"}'

describe('A problem in the output of a program', () => {
  it('is the last line that is one, whatever else was written', () => {
    const output = ['[W] a warning', '{"code":"a.first","message":"First."}', TOLD, 'Aborted', '']
    expect(toldProblem(output.join('\n'))).toEqual({
      ...{ code: 'golden.random', message: 'It is.', found: 'y' },
    })
  })

  it.each([
    ['nothing', ''],
    ['words', 'terminate called after throwing'],
    ['JSON cut short', TOLD.slice(0, 20)],
    ['JSON that is no problem', '{"trying":3}'],
  ])('is not there in %s', (_, output) => {
    expect(toldProblem(output)).toBeUndefined()
  })
})
