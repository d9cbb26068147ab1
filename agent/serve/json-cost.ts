/**
 * Whether a JSON text can be parsed without standing still for long, told before it is parsed: what
 * takes time are its brackets, its strings and its numbers, not its bytes. Counts those that stand in
 * strings too, so it errs towards refusing; tensors of that size belong into binary data.
 */

/** In the price of a number; millions of them take the parser under a second. */
const COST_MAX = 2 ** 23
const BRACKET_OR_QUOTE_COST = 4
/** Nothing so short takes half a second, whatever stands in it; most requests are not looked at. */
const FREE_BYTES = 2 ** 21

const COSTS = new Uint8Array(256)
COSTS[','.charCodeAt(0)] = 1
for (const mark of '[{":') COSTS[mark.charCodeAt(0)] = BRACKET_OR_QUOTE_COST

export function isCheapJson(text: Uint8Array): boolean {
  if (text.length <= FREE_BYTES) return true
  let cost = 0
  for (let i = 0; i < text.length; i++) cost += COSTS[text[i]!]!
  return cost <= COST_MAX
}
