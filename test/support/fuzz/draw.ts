import fc from 'fast-check'

/**
 * Random choices of one generated request. fast-check records them, so that a request can be generated again from the
 * same seed and shrunk. Every choice shrinks to its first or smallest alternative: list plain alternatives first.
 */
export interface Draw {
  /** A whole number from 0 up to, but not including, `end`. */
  below: (end: number) => number
  pick: <T>(alternatives: readonly T[]) => T
  /** True in `percent` of 100 cases. */
  chance: (percent: number) => boolean
  /** Any integer within both bounds. Bounds themselves are more likely than other numbers. */
  integer: (min: number, max: number) => number
  /** Well-formed text of up to `maxLength` graphemes, from any script. */
  text: (maxLength: number) => string
  /** Text that matches a pattern that fast-check can read. */
  matching: (pattern: string) => string
}

export function createDraw (generate: fc.GeneratorValue): Draw {
  // The arbitrary must not depend on how many alternatives exist, because that changes while requests are sent, and
  // fast-check only replays a choice whose arbitrary is the same as before.
  const below = (end: number) => generate(uniform) % end
  const pick = <T>(alternatives: readonly T[]) => alternatives[below(alternatives.length)]!
  return {
    below,
    pick,
    chance: percent => generate(uniform) % 100 >= 100 - percent,
    integer: (min, max) => pick([() => min, () => generate(integer, min, max), () => generate(integer, min, max), () => max])(),
    text: maxLength => generate(text, maxLength),
    matching: pattern => generate(matching, pattern)
  }
}

const uniform = () => fc.noBias(fc.nat(9999))
const integer = (min: number, max: number) => fc.integer({ min, max })
const text = (maxLength: number) => fc.string({ unit: 'grapheme', maxLength })
const matching = (pattern: string) => fc.stringMatching(new RegExp(pattern, 'u'), { size: '-1' })
