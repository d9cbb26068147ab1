/**
 * Integers that JavaScript's JSON would round, kept as the text they are: `9007199254740993` becomes
 * `"9007199254740993"`, as ProtoJSON writes it. Pure.
 */

/** A bare integer of as many digits stands somewhere; text and fractions may look like it. */
const SIGN = /(?:^|[[,:\s])-?\d{16}/
/** A whole text, which is passed over, or an integer that ends where a value may end. */
const TOKENS = /"[^"\\]*(?:\\.[^"\\]*)*"|(?<=^|[[,:\s])-?\d{16,}(?=\s*(?:[\],}]|$))/g

/** @param json any text; what is no JSON stays none. */
export function withExactIntegers(json: string): string {
  if (!SIGN.test(json)) return json
  return json.replace(TOKENS, (token) =>
    token.startsWith('"') || Number.isSafeInteger(Number(token)) ? token : `"${token}"`,
  )
}
