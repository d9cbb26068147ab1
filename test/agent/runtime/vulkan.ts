/**
 * WebGPU without a GPU: the webgpu provider of ONNX Runtime for Node runs on any Vulkan driver, also on
 * the software driver inside Debian's chromium package. It is slow, and as right as a GPU is.
 */
import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'

const SOFTWARE_DRIVER = '/usr/lib/chromium/vk_swiftshader_icd.json'

/** Why there is no Vulkan here; undefined when there is, and then child processes find the driver. */
export const withoutVulkan: string | undefined = findVulkan()

function findVulkan(): string | undefined {
  if (process.platform !== 'linux') return 'looked for on Linux only'
  if (!hasLoader()) return 'no libvulkan.so.1 (apt-get install libvulkan1)'
  if (process.env.VK_DRIVER_FILES !== undefined) return undefined
  if (!existsSync(SOFTWARE_DRIVER)) return `no ${SOFTWARE_DRIVER} (apt-get install chromium)`
  process.env.VK_DRIVER_FILES = SOFTWARE_DRIVER
  return undefined
}

function hasLoader(): boolean {
  try {
    return String(execFileSync('/sbin/ldconfig', ['-p'])).includes('libvulkan.so.1')
  } catch {
    return false
  }
}
