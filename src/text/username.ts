import { INVISIBLE } from './text.ts'
import { mixedScripts } from './scripts.ts'

// Which usernames are allowed, and which count as the same, so that nobody can imitate another user with invisible or similar characters.

const SPACES = /[\p{Z}\s]+/gu
const UNSEEN = new RegExp(`[${INVISIBLE}]`, 'gu')

/** Matches combining marks that hide something: the same mark twice looks like one, and many in a row cover their surroundings. @see UTS 39, section 5.4 */
const PILED_MARKS = /(\p{M})\1|^\p{M}|\p{Mn}{5}/u

/** Matches combining strokes through a letter. With one, o looks like ø and d like đ. @see https://www.unicode.org/Public/security/latest/confusables.txt */
const STROKES = /[\u0334-\u0338\u20d2\u20d3\u20d8-\u20da\u20e5\u20e6\u20ea\u20eb]/u

/** Matches a combining dot above a dotless i or j, which then looks like the letter that has a dot, also after marks below the letter. */
const DOTTED_AGAIN = /[\u0131\u0237](?=[\u0316-\u0333]*\u0307)/gu

/** Matches a combining dot above i or j, which replaces the letter's own dot and so is invisible, also after marks below the letter. */
const SECOND_DOT = /(\p{Soft_Dotted}[\u0316-\u0333]*)\u0307+/gu

/** A username as it is stored and shown: each run of spaces becomes one space. */
export function spaced (username: string) {
  return username.replace(SPACES, ' ').trim()
}

/** Why a username is refused, in a sentence for its owner; undefined when it is not. Expects it to be `spaced`. */
export function usernameProblem (username: string): string | undefined {
  const compatible = username.normalize('NFKC')
  if (username.replaceAll(' ', '').search(UNSEEN) !== -1) return 'A username has only characters that can be seen'
  if (!/[\p{L}\p{N}]/u.test(compatible)) return 'A username needs at least one letter or digit'
  if (PILED_MARKS.test(username.normalize('NFD'))) return 'A username has at most four different marks on a letter'
  if (STROKES.test(compatible)) return 'A username has no strokes through its letters, except in letters such as ø that are one character'
  const mixed = mixedScripts(compatible)
  if (mixed !== undefined) return `A username is written in one script, and this one mixes ${mixed[0]} and ${mixed[1]}`
  return undefined
}

/**
 * The form in which usernames are compared: without invisible characters, and with Unicode's full case folding between
 * normalisations, as for a compatibility caseless match (D146 of the Unicode Standard). The function is idempotent.
 */
export function keyOf (username: string): string {
  const seen = username.replace(SPACES, ' ').replace(UNSEEN, character => character === ' ' ? ' ' : '')
  const folded = fold(fold(seen.normalize('NFD')).normalize('NFKD'))
  return folded.replace(DOTTED_AGAIN, letter => letter === 'ı' ? 'i' : 'j').replace(SECOND_DOT, '$1').replace(SPACES, ' ').trim().normalize('NFKC')
}

/** The key of the former rule, NFKC and lower case, which older accounts still have. */
export function formerKeyOf (username: string) {
  return username.normalize('NFKC').toLowerCase()
}

/** The keys under which an account with this username may be stored. */
export function keysOf (username: string): string[] {
  return [...new Set([formerKeyOf(username), keyOf(username)])]
}

/**
 * Unicode's case folding, by the upper and lower case mappings of JavaScript. Character by character, because the lower case of
 * Σ depends on its neighbours. ı is an exception: its upper case is I, but it folds to itself.
 */
function fold (text: string) {
  let folded = ''
  for (const character of text) folded += character === 'ı' ? character : character.toUpperCase().toLowerCase()
  return folded
}
