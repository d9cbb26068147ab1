/** The truth about an earlier answer, checked and counted for the arm that gave it. */
import { ok, type Result, refuse } from '../../../shared/kernel/result.ts'
import type { LabelTable } from './label-table.ts'
import type { ModelRoute } from './model-route.ts'

/** Errors: `feedback.no_classes`, `feedback.unknown_label`, `feedback.unknown_id`. */
export function joinLabel(
  route: ModelRoute,
  labels: LabelTable,
  id: string,
  label: string | number,
): Result<{ correct: boolean }> {
  const { classes } = route.slots.current.manifest
  if (classes === null) {
    return refuse('feedback.no_classes', 'This model predicts no classes, so it takes no labels.')
  }
  const { names } = classes
  const truth = typeof label === 'number' ? label : names.indexOf(label)
  if (!Number.isInteger(truth) || truth < 0 || truth >= names.length) {
    return refuse('feedback.unknown_label', 'The label is no class of this model.', {
      expected: names.slice(0, 32).join(', '),
      found: String(label).slice(0, 64),
    })
  }
  const prediction = labels.take(`${route.slots.current.model}/${id}`)
  if (prediction === undefined) {
    return refuse('feedback.unknown_id', 'No recent prediction with this id waits for a label.', {
      next: 'send the label once, soon after the answer, with the id of the request',
    })
  }
  // A release that has left every slot since has no arm to count for.
  route.recorder().recordLabel(prediction.sha256, prediction.classIndex, truth)
  return ok({ correct: prediction.classIndex === truth })
}
