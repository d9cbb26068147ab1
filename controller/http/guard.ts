/**
 * What every request meets first and every answer carries. A foreign Host is refused because a
 * page elsewhere can point its own name at this address (DNS rebinding), a foreign Origin because
 * a browser sends along what it holds for us.
 */
import type { MiddlewareHandler } from 'hono'
import { ok, type Result, refuse } from '../../shared/kernel/result.ts'
import { problemAnswer } from './answers.ts'

const LOOPBACK_NAMES = ['localhost', '127.0.0.1', '[::1]']

/** The console loads nothing from elsewhere; `wasm-unsafe-eval` compiles ONNX Runtime's module. */
const SECURITY_HEADERS: Readonly<Record<string, string>> = {
  'content-security-policy': [
    "default-src 'none'",
    "script-src 'self' 'wasm-unsafe-eval'",
    "style-src 'self' 'unsafe-inline'",
    "img-src 'self' data:",
    "font-src 'self'",
    "connect-src 'self'",
    "worker-src 'self' blob:",
    "manifest-src 'self'",
    "base-uri 'none'",
    "form-action 'self'",
    "frame-ancestors 'none'",
  ].join('; '),
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'referrer-policy': 'no-referrer',
  // Both are what makes a page cross-origin isolated, which WebAssembly threads need.
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-embedder-policy': 'require-corp',
  'cross-origin-resource-policy': 'same-origin',
  'permissions-policy': 'accelerometer=(self), gyroscope=(self), camera=(), microphone=()',
}

/** @param hostNames further names under which this controller is reached. */
export function knownHosts(hostNames: readonly string[]): ReadonlySet<string> {
  return new Set([...LOOPBACK_NAMES, ...hostNames.map((name) => name.toLowerCase())])
}

/** @param host a Host header. */
export function isKnownHost(host: string, known: ReadonlySet<string>): boolean {
  return known.has(host.toLowerCase().replace(/:\d+$/, ''))
}

export function guard(known: ReadonlySet<string>): MiddlewareHandler {
  return async (context, next) => {
    const checked = checkAddress(context.req.raw, known)
    if (checked.ok) await next()
    else context.res = problemAnswer(checked.error)
    for (const [name, value] of Object.entries(SECURITY_HEADERS)) {
      context.res.headers.set(name, value)
    }
  }
}

/** Errors: `http.host`, `http.origin`. */
function checkAddress(
  request: Pick<Request, 'headers' | 'url'>,
  known: ReadonlySet<string>,
): Result<undefined> {
  const host = (request.headers.get('host') ?? new URL(request.url).host).toLowerCase()
  if (!isKnownHost(host, known)) {
    return refuse('http.host', 'This controller is not known by that name.', {
      expected: `one of ${[...known].join(', ')}`,
      found: host,
      next: 'start the controller with --host-name',
    })
  }
  const origin = request.headers.get('origin')
  if (origin === null || origin === `http://${host}` || origin === `https://${host}`) return ok()
  return refuse('http.origin', 'A page from elsewhere may not call this controller.', {
    expected: `http://${host}`,
    found: origin,
  })
}
