/** The budget of the console's download: script and style sheets together, compressed. */
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { expect, it } from 'vitest'
import { buildConsole } from './console-build.ts'

const GZIP_BYTES_MAX = 60_000

it('the whole console is under 60 kB gzipped, without zod', async () => {
  const folder = await buildConsole()
  const files = await readdir(folder)
  const contents = await Promise.all(files.map((file) => readFile(join(folder, file))))
  const total = contents.reduce((sum, bytes) => sum + gzipSync(bytes).length, 0)
  expect(files).toContain('main.js')
  expect(total).toBeLessThan(GZIP_BYTES_MAX)
  expect(contents.some((bytes) => bytes.includes('ZodError'))).toBe(false)
})
