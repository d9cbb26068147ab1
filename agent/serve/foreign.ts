/**
 * Whether a request comes from a page of a foreign site, which must not reach a local API through the
 * visitor's browser (DNS rebinding): its Host or Origin names something else than this machine. Pure.
 */
import { type Problem, refuse } from '../../shared/kernel/result.ts'

const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d+)?$/i

/** @returns `request.foreign_origin`, or undefined. */
export function refuseForeign(
  host: string | null | undefined,
  origin: string | null | undefined,
): Problem | undefined {
  const originHost = origin?.replace(/^https?:\/\//, '')
  const isLocal =
    (host === null || host === undefined || LOOPBACK.test(host)) &&
    (originHost === undefined || LOOPBACK.test(originHost))
  if (isLocal) return undefined
  return refuse('request.foreign_origin', 'Only programs on this device may ask.', {
    found: `host ${host?.slice(0, 100)}, origin ${origin?.slice(0, 100) ?? 'none'}`,
  }).error
}
