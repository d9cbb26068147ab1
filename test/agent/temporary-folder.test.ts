/** What a program that was killed leaves in the temporary folder, and who removes it. */
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { makeTemporaryFolder } from '../../agent/temporary-folder.ts'

let parent: string
beforeEach(() => {
  parent = mkdtempSync(join(tmpdir(), 'linnet-temporary-test-'))
})
afterEach(() => rmSync(parent, { recursive: true, force: true }))

it('removes the folders of its kind whose process is dead, and no others', async () => {
  const { pid: dead } = spawnSync(process.execPath, ['--version'])
  const kept = [`kind-${process.pid}-a`, 'kind-other', `else-${dead}-a`]
  for (const name of [...kept, `kind-${dead}-a`]) mkdirSync(join(parent, name))
  const made = await makeTemporaryFolder('kind-', parent)
  expect(basename(made)).toMatch(new RegExp(`^kind-${process.pid}-`))
  expect(readdirSync(parent).toSorted()).toEqual([...kept, basename(made)].toSorted())
})
