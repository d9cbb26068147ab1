/** Who people and services are to the controller. */
import { z } from 'zod'

export const ROLES = ['viewer', 'operator', 'publisher', 'approver', 'admin'] as const
export const roleSchema = z.enum(ROLES)
export type Role = z.infer<typeof roleSchema>
