/**
 * The few globals that ECMAScript lacks and that every runtime we target has (Node 20, browsers).
 * Declared here one by one because `lib: es2023, types: []` is what rejects fetch, process and timers.
 */
declare class TextEncoder {
  encode(text: string): Uint8Array<ArrayBuffer>
}
declare class TextDecoder {
  constructor(label?: string, options?: { fatal?: boolean; ignoreBOM?: boolean })
  decode(bytes: Uint8Array): string
}
declare function btoa(binary: string): string
declare function atob(text: string): string
