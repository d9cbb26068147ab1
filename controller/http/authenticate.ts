/**
 * Who calls: a bearer token (CLI, services) or the session cookie (console). A cookie travels by
 * itself, so whatever changes something by cookie must also prove that it comes from our own pages.
 */
import { ok, type Result, refuse } from '../../shared/kernel/result.ts'
import type { Actor } from '../application.ts'
import type { AccessStore } from './access-store.ts'

const COOKIE = 'linnet_session'

/**
 * @returns undefined for a caller without credentials.
 * Errors: `auth.unknown` for a token that admits nobody, `http.origin` for a foreign page.
 */
export function authenticate(request: Request, access: AccessStore): Result<Actor | undefined> {
  const header = request.headers.get('authorization')
  if (header !== null) {
    const secret = /^Bearer +(\S{1,512})$/i.exec(header)?.[1]
    const actor = secret === undefined ? undefined : access.admit(secret)
    if (actor !== undefined) return ok(actor)
    return refuse('auth.unknown', 'This token admits nobody.', {
      expected: 'a token of this controller, neither expired nor revoked',
      next: 'give --token, or run the command where the controller runs',
    })
  }
  const session = sessionOf(request)
  const actor = session === undefined ? undefined : access.admit(session)
  if (actor === undefined) return ok(undefined)
  const safe = request.method === 'GET' || request.method === 'HEAD'
  const ownPage =
    request.headers.get('origin') !== null ||
    request.headers.get('sec-fetch-site') === 'same-origin'
  // A foreign Origin was refused before (guard.ts); none at all is no proof.
  if (safe || ownPage) return ok(actor)
  return refuse('http.origin', 'A change by cookie must come from a page of this controller.', {
    expected: 'an Origin header of this controller',
    found: 'none',
  })
}

export function sessionOf(request: Request): string | undefined {
  const cookies = (request.headers.get('cookie') ?? '').split(';')
  const pair = cookies.map((c) => c.trim().split('=')).find(([name]) => name === COOKIE)
  return pair?.[1]
}

/** The cookie that carries a session; an empty secret clears it. */
export function sessionCookie(secret: string, secure: boolean): string {
  const life = secret === '' ? '; Max-Age=0' : ''
  return `${COOKIE}=${secret}; Path=/; HttpOnly; SameSite=Strict${secure ? '; Secure' : ''}${life}`
}
