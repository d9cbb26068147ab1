/**
 * The HTTP application: guard, endpoints, then files of the console and the demo page. It has no
 * socket of its own (server.ts gives it one), so tests call it with `app.request()`.
 */
import { Hono } from 'hono'
import { ENDPOINT_IDS, ENDPOINTS } from '../../shared/api/endpoints.ts'
import type { Problem } from '../../shared/kernel/result.ts'
import type { Actor, Application } from '../application.ts'
import type { AccessStore } from './access-store.ts'
import { problemAnswer } from './answers.ts'
import { bindRoutes } from './bind.ts'
import { createEventStreams } from './events.ts'
import { guard, isKnownHost, knownHosts } from './guard.ts'
import { createHandlers } from './handlers.ts'
import { createIdempotency } from './idempotency.ts'
import { createLoginCodes } from './login-codes.ts'
import { staticAnswer } from './static-files.ts'

export interface HttpOptions {
  readonly application: Application
  readonly access: AccessStore
  readonly version: string
  /** Further names under which this controller is reached. */
  readonly hostNames: readonly string[]
  /** Built console and demo page; a folder that is absent is reported as such to who asks. */
  readonly consoleFolder: string
  readonly demoFolder: string
  readonly checkAnswers?: boolean
  nowMs(): number
  onFailure(problem: Problem, cause: unknown): void
}

export interface HttpApp {
  readonly hono: Hono
  /** Path of a link that signs in once. */
  loginPath(actor: Actor): string
  /** For what shares the socket and sees no request here: WebSocket upgrades. */
  isKnownHost(host: string): boolean
  /** Ends what would keep connections open for ever. */
  close(): void
}

export function createHttpApp(options: HttpOptions): HttpApp {
  const { application, access, version, nowMs } = options
  const hono = new Hono()
  const loginCodes = createLoginCodes(nowMs)
  const events = createEventStreams(application)
  const known = knownHosts(options.hostNames)
  hono.use(guard(known))
  bindRoutes(hono, createHandlers({ application, access, loginCodes, events, version }), {
    access,
    idempotency: createIdempotency(nowMs),
    proveDevice: (device, token) => application.proveDevice(device, token),
    checkAnswers: options.checkAnswers ?? false,
    onFailure: options.onFailure,
    onRefused: (actor, action, { code: outcome }) =>
      application.recordRefusal({ actor, action, resource: 'http', outcome }),
  })
  hono.notFound((context) => filesOrNothing(context.req.raw, options))
  hono.onError((cause) => {
    const problem = { code: 'http.internal', message: 'The controller failed at this request.' }
    options.onFailure(problem, cause)
    return problemAnswer(problem)
  })
  return {
    hono,
    loginPath: (actor) => `${ENDPOINTS.login.path}?code=${loginCodes.create(actor).code}`,
    isKnownHost: (host) => isKnownHost(host, known),
    close: () => events.close(),
  }
}

const CONSOLE_MISSING = `Linnet controller. The console is not built here; the command line is:
  linnet device list
  linnet rollout list
`

async function filesOrNothing(request: Request, options: HttpOptions): Promise<Response> {
  const { pathname } = new URL(request.url)
  const methods = methodsOf(pathname)
  if (methods.length > 0) {
    const problem = {
      code: 'http.method',
      message: 'This path has no such method.',
      expected: methods.join(' or '),
      found: request.method,
    }
    return problemAnswer(problem, { allow: methods.join(', ') })
  }
  if (request.method === 'GET' || request.method === 'HEAD') {
    // A relative link on the demo page needs the slash.
    if (pathname === '/demo') {
      return new Response(null, { status: 308, headers: { location: '/demo/' } })
    }
    const inDemo = pathname.startsWith('/demo/')
    const folder = inDemo ? options.demoFolder : options.consoleFolder
    const path = pathname.slice(inDemo ? '/demo/'.length : 1)
    const file = await staticAnswer(request, folder, path)
    if (file !== undefined) return file
    if (pathname === '/') return new Response(CONSOLE_MISSING, { status: 200 })
  }
  return problemAnswer({
    code: 'http.not_found',
    message: 'There is nothing here.',
    found: `${request.method} ${pathname.slice(0, 200)}`,
    next: 'see /openapi.json',
  })
}

/** Methods that endpoints with this path take; empty for a path that is no endpoint's. */
function methodsOf(pathname: string): string[] {
  const matches = (path: string) =>
    new RegExp(`^${path.replaceAll('.', '\\.').replace(/\{\w+\}/g, '[^/]+')}$`).test(pathname)
  return ENDPOINT_IDS.filter((id) => matches(ENDPOINTS[id].path)).map((id) => ENDPOINTS[id].method)
}
