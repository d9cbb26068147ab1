/** The programs of the command line say how they are called, and when they are called wrongly. */
import { expect, test } from 'vitest'
import { runLinnet } from './programs.ts'

const PROGRAMS = ['demo', 'controller', 'agent', 'serve', 'profile']

test.each(PROGRAMS)('linnet %s --help explains itself and ends with 0', async (name) => {
  const { code, stdout, stderr } = await runLinnet([name, '--help'], {})
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  expect(stdout).toContain(`linnet ${name}`)
  expect(stdout).toContain('Examples:')
})

test.each(PROGRAMS)('linnet %s --bogus is a usage error: 1, in one line', async (name) => {
  const { code, stdout, stderr } = await runLinnet([name, '--bogus'], {})
  expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
  expect(stderr.trim().split('\n')).toHaveLength(1)
  expect(stderr).toContain('--bogus')
  expect(stderr).toContain(`next: linnet ${name} --help`)
})
