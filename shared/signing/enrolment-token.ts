/**
 * The enrolment token as text: `ln1.<fleet>.<id>.<secret>.<root>`, where `root` is the SHA-256 of a
 * root metadata file as it is published. The token reaches the device from the publisher's side, so
 * the device need not take the controller's word for whom to trust. Only a hash of `secret` is
 * stored; whether a token is good is the controller's to say.
 */
import { ok, type Result, refuse } from '../kernel/result.ts'

export interface EnrolmentToken {
  readonly fleet: string
  readonly id: string
  readonly secret: string
  readonly rootSha256: string
}

const FORM =
  /^ln1\.([A-Za-z0-9_-]{1,64})\.([A-Za-z0-9_-]{1,64})\.([A-Za-z0-9_-]{20,128})\.([0-9a-f]{64})$/

export function formatEnrolmentToken({ fleet, id, secret, rootSha256 }: EnrolmentToken): string {
  return ['ln1', fleet, id, secret, rootSha256].join('.')
}

/** Code `enrolment.token`; the refusal never repeats the text, which holds a secret. */
export function parseEnrolmentToken(text: string): Result<EnrolmentToken> {
  const [, fleet, id, secret, rootSha256] = FORM.exec(text) ?? []
  if (fleet !== undefined && id !== undefined && secret !== undefined && rootSha256 !== undefined) {
    return ok({ fleet, id, secret, rootSha256 })
  }
  return refuse('enrolment.token', 'This is no enrolment token.', {
    expected: 'ln1.<fleet>.<id>.<secret>.<root>',
    next: 'linnet device token',
  })
}
