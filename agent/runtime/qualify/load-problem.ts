/**
 * Why ONNX Runtime does not load a model, as a code: what it lacks for every file of that kind (an
 * operator, an operator set, a version of the format) is admission's to name; all else is this file's
 * own fault. Pure; the library says it in words only, so it is read from them, and words that it may
 * change one day cost the finer code and no more.
 */
import { type Problem, toProblem } from '../../../shared/kernel/result.ts'

const KINDS: readonly (readonly [
  RegExp,
  Pick<Problem, 'code' | 'message' | 'expected' | 'next'>,
])[] = [
  [
    /No Op registered for|is not a registered function\/op|No opset import for domain|Could not find an implementation for/,
    {
      code: 'admission.unsupported_operator',
      message: 'The model uses an operator that ONNX Runtime does not have here.',
      expected: 'operators of the ONNX standard, or of com.microsoft',
      next: 'export the model with standard operators',
    },
  ],
  [
    /only \*guarantees\* support for models stamped with official released onnx opset/,
    {
      code: 'admission.unsupported_opset',
      message: 'The model asks for an operator set that ONNX Runtime does not know.',
      next: 'export the model with an older operator set',
    },
  ],
  [
    /Unsupported model IR version/,
    {
      code: 'admission.unsupported_opset',
      message: 'The model has a newer format than ONNX Runtime knows.',
      next: 'export the model with an older ONNX',
    },
  ],
]

/** A problem that was named before keeps its name. */
export function loadProblem(cause: unknown): Problem {
  const inner = toProblem(cause, 'qualify.load_failed')
  if (inner.code !== 'qualify.load_failed') return inner
  const said = inner.message.replaceAll(/\s+/g, ' ')
  const kind = KINDS.find(([pattern]) => pattern.test(said))?.[1]
  const found = plainWords(said).slice(0, 280)
  if (kind !== undefined) return { ...kind, found }
  return { code: 'qualify.load_failed', message: 'ONNX Runtime cannot load this model.', found }
}

/** Without the place in the library's source and what is called there. */
function plainWords(text: string): string {
  return text
    .replace(/^\S+\.(?:cc|h|cpp):\d+ .* was false\. /, '')
    .replace(/^\S+\.(?:cc|h|cpp):\d+ .*?\) (?=[A-Z])/, '')
}
