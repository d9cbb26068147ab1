/** Addresses that only programs of this machine can reach, as command lines give them. */

/** @returns undefined for what is no such address. */
export function loopback(
  address: string,
): { readonly host: string; readonly port: number } | undefined {
  const parts = /^(127\.\d+\.\d+\.\d+|localhost|\[::1\]):(\d{1,5})$/.exec(address)
  if (parts === null || Number(parts[2]) > 65_535) return undefined
  return { host: parts[1]!.replace(/^\[|\]$/g, ''), port: Number(parts[2]) }
}
