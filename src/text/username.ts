import { INVISIBLE } from './text.ts'
import { mixedScripts } from './scripts.ts'

// Which usernames there may be, and when two are the same. Nobody may look like somebody else by what cannot be seen.

const SPACES = /[\p{Z}\s]+/gu
const UNSEEN = new RegExp(`[${INVISIBLE}]`, 'gu')

/** A mark twice in a row covers itself, and many in a row cover what is around them. @see UTS 39, section 5.4 */
const PILED_MARKS = /(\p{M})\1|^\p{M}|\p{Mn}{5}/u

/** A dot above i or j takes the place of the dot that is there, also with marks below in between. */
const SECOND_DOT = /(\p{Soft_Dotted}[\u0316-\u0333]*)\u0307+/gu

/** A username as it is stored and shown: each run of spaces is one. */
export function spaced (username: string) {
  return username.replace(SPACES, ' ').trim()
}

/** Why a username is refused, in a sentence for its owner; undefined when it is not. Expects it to be `spaced`. */
export function usernameProblem (username: string): string | undefined {
  const compatible = username.normalize('NFKC')
  if (username.replaceAll(' ', '').search(UNSEEN) !== -1) return 'A username has only characters that can be seen'
  if (!/[\p{L}\p{N}]/u.test(compatible)) return 'A username needs at least one letter or digit'
  if (PILED_MARKS.test(username.normalize('NFD'))) return 'A username has at most four different marks on a letter'
  const mixed = mixedScripts(compatible)
  if (mixed !== undefined) return `A username is written in one script, and this one mixes ${mixed[0]} and ${mixed[1]}`
  return undefined
}

/**
 * A username as it is compared: Unicode's full case folding between normalisations, which is a caseless match (D146 of
 * the Unicode Standard), without what cannot be seen. Folding it again changes nothing.
 */
export function keyOf (username: string): string {
  const seen = username.replace(SPACES, ' ').replace(UNSEEN, character => character === ' ' ? ' ' : '')
  const folded = fold(fold(seen.normalize('NFD')).normalize('NFKD'))
  return folded.replace(SECOND_DOT, '$1').replace(SPACES, ' ').trim().normalize('NFKC')
}

/** The key of the rule before, under which accounts that were made then are stored: NFKC and lower case. */
export function formerKeyOf (username: string) {
  return username.normalize('NFKC').toLowerCase()
}

/** Under which keys an account of this username may be stored. */
export function keysOf (username: string): string[] {
  return [...new Set([formerKeyOf(username), keyOf(username)])]
}

/**
 * Case folding, made of the mappings that JavaScript has. By single characters, since the lower case of Σ depends on what
 * is around it. The upper case of ı is I, though it folds to itself.
 */
function fold (text: string) {
  let folded = ''
  for (const character of text) folded += character === 'ı' ? character : character.toUpperCase().toLowerCase()
  return folded
}
