/**
 * Path patterns of delegations (clause 4.5): shell wildcards that never match a path separator.
 * Matching takes time proportional to pattern times name, whatever the pattern: no expressions that
 * an attacker could make explode. How long patterns may be is for who reads them.
 */

/** `*`, `?` and `[...]` within each level; the number of levels must agree. */
export function matchesPattern(path: string, pattern: string): boolean {
  const levels = path.split('/')
  const patterns = pattern.split('/')
  return (
    levels.length === patterns.length &&
    levels.every((level, i) => matchesLevel([...level], tokensOf(patterns[i]!)))
  )
}

type Token = '*' | ((char: string) => boolean)

function tokensOf(pattern: string): Token[] {
  const chars = [...pattern]
  // Behind it no bracket closes, so that brackets which open there are not looked after again.
  const lastEnd = chars.lastIndexOf(']')
  const tokens: Token[] = []
  for (let i = 0; i < chars.length; i++) {
    const char = chars[i]!
    if (char === '*') {
      // Stars in a row match what one does.
      if (tokens.at(-1) !== '*') tokens.push('*')
    } else if (char === '?') tokens.push(() => true)
    else {
      const end = char === '[' && i < lastEnd ? classEnd(chars, i) : undefined
      if (end === undefined) tokens.push((other) => other === char)
      else tokens.push(classOf(chars.slice(i + 1, end)))
      if (end !== undefined) i = end
    }
  }
  return tokens
}

/** Index of the closing bracket; a `]` right after `[` or `[!` is a member. */
function classEnd(chars: readonly string[], start: number): number | undefined {
  const first = chars[start + 1] === '!' ? start + 2 : start + 1
  const end = chars.indexOf(']', first + 1)
  return end === -1 ? undefined : end
}

function classOf(body: readonly string[]): (char: string) => boolean {
  const negated = body[0] === '!'
  const members = negated ? body.slice(1) : body
  return (char) => {
    let found = false
    for (let i = 0; i < members.length; i++) {
      if (members[i + 1] === '-' && i + 2 < members.length) {
        found ||= char >= members[i]! && char <= members[i + 2]!
        i += 2
      } else found ||= char === members[i]
    }
    return found !== negated
  }
}

/** Two cursors; after a mismatch the last star takes one more character. */
function matchesLevel(text: readonly string[], tokens: readonly Token[]): boolean {
  let at = 0
  let token = 0
  let star = -1
  let starAt = 0
  while (at < text.length) {
    const current = tokens[token]
    if (current === '*') {
      star = token
      starAt = at
      token += 1
    } else if (current?.(text[at]!)) {
      at += 1
      token += 1
    } else if (star >= 0) {
      starAt += 1
      at = starAt
      token = star + 1
    } else return false
  }
  return tokens.slice(token).every((rest) => rest === '*')
}
