/** The confusion matrix of a window: row truth, column prediction, and none for many classes. */

export const CONFUSION_CLASSES_MAX = 16

/** How many cells it has. */
export function confusionCells(classCount: number): number {
  return classCount <= CONFUSION_CLASSES_MAX ? classCount ** 2 : 0
}
