/**
 * The enrolment token as text: `ln1.<fleet>.<id>.<secret>.<root>[.staging]`, where `root` is the
 * SHA-256 of a root metadata file as it is published, and `staging` makes a device that takes releases
 * which are not proven yet. The token reaches the device from the publisher's side, so
 * the device need not take the controller's word for whom to trust. Only a hash of `secret` is
 * stored; whether a token is good is the controller's to say.
 */
import { ok, type Result, refuse } from '../kernel/result.ts'

export interface EnrolmentToken {
  readonly fleet: string
  readonly id: string
  readonly secret: string
  readonly rootSha256: string
  readonly staging?: boolean
}

const FORM =
  /^ln1\.([A-Za-z0-9_-]{1,64})\.([A-Za-z0-9_-]{1,64})\.([A-Za-z0-9_-]{20,128})\.([0-9a-f]{64})(\.staging)?$/

export function formatEnrolmentToken(token: EnrolmentToken): string {
  const { fleet, id, secret, rootSha256, staging } = token
  return ['ln1', fleet, id, secret, rootSha256, ...(staging ? ['staging'] : [])].join('.')
}

/** Code `enrolment.token`; the refusal never repeats the text, which holds a secret. */
export function parseEnrolmentToken(text: string): Result<EnrolmentToken> {
  const [, fleet, id, secret, rootSha256, staging] = FORM.exec(text) ?? []
  if (fleet !== undefined && id !== undefined && secret !== undefined && rootSha256 !== undefined) {
    return ok({ fleet, id, secret, rootSha256, ...(staging !== undefined && { staging: true }) })
  }
  return refuse('enrolment.token', 'This is no enrolment token.', {
    expected: 'ln1.<fleet>.<id>.<secret>.<root>',
    next: 'linnet device token',
  })
}
