/** The part of a command line that says how many model hosts there are and how they share the work. */
import { z } from 'zod'
import { BALANCE_POLICIES, type BalancePolicy } from '../shared/balance/balancer.ts'
import { ok, type Result, refuse } from '../shared/kernel/result.ts'
import type { HostSharing } from './runtime/host/model-hosts.ts'

/** More would only wait for the same processor. */
const HOSTS_MAX = 16
const DEFAULT_POLICY: BalancePolicy = 'least-connections'

export const HOST_FLAGS = {
  hosts: { type: 'string', default: '1' },
  balance: { type: 'string' },
  'host-weights': { type: 'string' },
} as const

export interface HostFlags {
  readonly hosts: string
  readonly balance?: string | undefined
  readonly 'host-weights'?: string | undefined
}

const hostsSchema = z
  .string()
  .regex(/^\d{1,2}(\.\.\d{1,2})?$/)
  .transform((text) => {
    const [hostsMin = 0, hostsMax = hostsMin] = text.split('..').map(Number)
    return { hostsMin, hostsMax }
  })
  .refine(
    ({ hostsMin, hostsMax }) => 1 <= hostsMin && hostsMin <= hostsMax && hostsMax <= HOSTS_MAX,
  )

const weightsSchema = z
  .string()
  .transform((text) => text.split(',').map(Number))
  .pipe(z.array(z.number().min(0.001).max(1_000)).max(HOSTS_MAX))

/** @returns null for one host, which needs nobody in front. Code `usage`, with what is wrong. */
export function readSharing(flags: HostFlags, next: string): Result<HostSharing | null> {
  const usage = (message: string): Result<never> => refuse('usage', message, { next })
  const hosts = hostsSchema.safeParse(flags.hosts)
  if (!hosts.success) return usage(`--hosts must be N or MIN..MAX, from 1 to ${HOSTS_MAX}`)
  const policy = z.enum(BALANCE_POLICIES).safeParse(flags.balance ?? DEFAULT_POLICY)
  if (!policy.success) return usage(`--balance must be of ${BALANCE_POLICIES.join(', ')}`)
  const weights = weightsSchema.safeParse(flags['host-weights'] ?? '1')
  if (!weights.success) return usage('--host-weights must be numbers from 0.001 to 1000: 2,1')
  const isOne = hosts.data.hostsMax === 1
  if (isOne && (flags.balance ?? flags['host-weights']) !== undefined) {
    return usage('--balance and --host-weights need --hosts 2 or more')
  }
  return ok(isOne ? null : { ...hosts.data, policy: policy.data, weights: weights.data })
}
