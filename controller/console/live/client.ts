/**
 * The typed client over this page's own origin: the session cookie is the credential, so no secret
 * is ever in reach of this code.
 */
import { createClient } from '../../../shared/api/client.ts'

export const client = createClient({
  baseUrl: '',
  fetch: (url, { method, headers, body }) =>
    fetch(url, {
      method,
      headers,
      credentials: 'same-origin',
      ...(body === undefined ? {} : { body: body as BodyInit }),
    }),
  newKey: randomKey,
})

/** 128 random bits in hex; `crypto.randomUUID` is missing where a page came over plain HTTP. */
function randomKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16))
  return [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('')
}
