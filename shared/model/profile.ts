/** A firmware profile: a class of devices, and what a model may use there. */
import { z } from 'zod'
import { nameSchema } from './names.ts'

export const executionProviderSchema = z.enum([
  'cpu',
  'cuda',
  'tensorrt',
  'coreml',
  'dml',
  'webgpu',
  'webnn',
  'wasm',
])
export type ExecutionProvider = z.infer<typeof executionProviderSchema>

export const profileSchema = z.strictObject({
  name: nameSchema,
  title: z.string().max(120),
  /** Where the figures come from, for whoever doubts them. */
  sources: z.array(z.string().max(300)).max(8),
  /** Words in the name of board or processor by which such a device is known; absent: any. */
  hardware: z.array(z.string().max(64)).min(1).max(8).optional(),
  cpu: z.strictObject({ architecture: z.string().max(32), cores: z.int().min(1).max(1024) }),
  memoryMb: z.int().min(16),
  /** In order of preference; the first that qualifies on the device is used. */
  executionProviders: z.array(executionProviderSchema).min(1).max(8),
  limits: z.strictObject({
    /** Largest artifact that is downloaded. */
    artifactBytesMax: z.int().min(1),
    /** Memory that all sessions of the model host may take together. */
    sessionMemoryMb: z.int().min(1),
    threadsMax: z.int().min(1).max(1024),
    /** Disk that releases may take together. */
    diskMb: z.int().min(1),
  }),
  /** Variant precisions that suit these devices, best first. */
  precisions: z.array(z.enum(['fp32', 'fp16', 'int8'])).min(1),
})
export type FirmwareProfile = z.infer<typeof profileSchema>
