/**
 * Files of the console and of the demo page. Only plain files inside their folder are served, and
 * only from paths without tricks: what is not `[A-Za-z0-9._-]` segments is not found.
 */
import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { fileAnswer } from './ranges.ts'

const MEDIA_TYPES: Readonly<Record<string, string>> = {
  html: 'text/html; charset=utf-8',
  js: 'text/javascript; charset=utf-8',
  mjs: 'text/javascript; charset=utf-8',
  css: 'text/css; charset=utf-8',
  json: 'application/json; charset=utf-8',
  webmanifest: 'application/manifest+json',
  map: 'application/json; charset=utf-8',
  svg: 'image/svg+xml',
  png: 'image/png',
  ico: 'image/x-icon',
  woff2: 'font/woff2',
  wasm: 'application/wasm',
  onnx: 'application/octet-stream',
}

/**
 * @param path below the folder, without a leading slash; empty for its index.
 * @returns undefined when there is no such file.
 */
export async function staticAnswer(
  request: Request,
  folder: string,
  path: string,
): Promise<Response | undefined> {
  const segments = path === '' ? ['index.html'] : path.split('/')
  if (segments.some((segment) => !/^[A-Za-z0-9_-][A-Za-z0-9._-]*$/.test(segment))) return undefined
  const extension = segments.at(-1)!.split('.').at(-1)!
  const mediaType = MEDIA_TYPES[extension]
  if (mediaType === undefined) return undefined
  const file = join(folder, ...segments)
  const about = await stat(file).catch(() => undefined)
  if (about === undefined || !about.isFile()) return undefined
  return fileAnswer(request, {
    length: about.size,
    mediaType,
    tag: `${about.size.toString(36)}-${about.mtimeMs.toString(36)}`,
    immutable: false,
    open: (start, end) =>
      Readable.toWeb(
        createReadStream(file, { start, end: Math.max(start, end - 1) }),
      ) as ReadableStream<Uint8Array>,
  })
}
