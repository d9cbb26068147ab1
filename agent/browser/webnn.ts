/**
 * Whether this browser has WebNN, the interface to its neural network accelerators. Sources: W3C Web
 * Neural Network API (`navigator.ml`); ONNX Runtime Web, documentation of its WebNN execution provider,
 * which waits for the accelerator by suspending WebAssembly, as its WebGPU one does. No browser that we
 * could try offers it yet on its platform: a context that is refused later is told by its proof.
 */
/** @returns why there is none; empty where it can be tried. */
export function webnnMissing(): string {
  if (!('ml' in navigator)) return 'this browser or page has no WebNN'
  return 'Suspending' in WebAssembly ? '' : 'this browser cannot suspend WebAssembly (JSPI)'
}
