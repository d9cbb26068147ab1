/**
 * What a proof holds for beside the model: the processor with its instruction sets (ONNX Runtime picks
 * kernels by them), and the drivers that a GPU provider runs on. Read from the system; never guessed.
 */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { cpus, release } from 'node:os'

/** One line that changes when the processor does. */
export function machineName(): string {
  const model = cpus()[0]?.model.trim() ?? 'unknown'
  return `${process.platform}/${process.arch} ${model} ${instructionSets()}`.slice(0, 300)
}

/** One line that changes when what lies under a GPU provider does. */
export function driverName(): string {
  const nvidia = readText('/proc/driver/nvidia/version').split('\n')[0] ?? ''
  const { VK_DRIVER_FILES = '', VK_ICD_FILENAMES = '' } = process.env
  const parts = [release(), nvidia, VK_DRIVER_FILES, VK_ICD_FILENAMES]
  return parts
    .filter((part) => part !== '')
    .join(' ')
    .slice(0, 500)
}

/** The version of ONNX Runtime for Node, without loading its library into this process. */
export function runtimeVersion(): string {
  const { version } = createRequire(import.meta.url)('onnxruntime-node/package.json') as {
    version: string
  }
  return version
}

/** `flags` on x86, `Features` on Arm; other systems tell the model only. */
function instructionSets(): string {
  const flags = /^(?:flags|Features)\s*:\s*(.+)$/m.exec(readText('/proc/cpuinfo'))?.[1]
  if (flags === undefined) return ''
  return createHash('sha256').update(flags).digest('hex').slice(0, 16)
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'latin1')
  } catch {
    return ''
  }
}
