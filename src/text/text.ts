// Rules for texts from all sources: requests, sockets, webhooks, bots. Postgres can store neither NUL nor half of a surrogate
// pair. Lengths are in code points, as Postgres and JSON Schema count.

/** The longest message of a user, in code points, unless all bots of the conversation accept longer ones. */
export const MAX_MESSAGE_LENGTH = 8_000

/** The longest message that a bot can accept, such as a pasted document, in code points. */
export const MAX_LONG_MESSAGE_LENGTH = 100_000

/** The longest message of a bot, in code points. */
export const MAX_REPLY_LENGTH = 100_000

/**
 * The inside of a character class, for the `u` flag, with all invisible characters. Unicode's
 * default ignorables are zero-width characters, direction marks, variation selectors, tags and Hangul fillers. Then come
 * controls, white space, and blanks that have no property of their own: Braille, Egyptian, Khitan, musical, and anchors
 * of annotations and objects.
 * @see https://www.unicode.org/reports/tr44/#Default_Ignorable_Code_Point
 */
export const INVISIBLE = '\\p{Default_Ignorable_Code_Point}\\p{Cc}\\p{Z}\\s\\u{16fe4}\\u2800\\ufff9-\\ufffc\\u{13430}-\\u{13442}\\u{1d159}'

/** The longest name, in code points. */
export const MAX_NAME_LENGTH = 100

/** The characters that a name may not have: see `Name` in accounts/schema.ts. */
const NOT_IN_NAMES = /[\p{Cc}\p{Zl}\p{Zp}\u202a-\u202e\u2066-\u2069]+/gu

const VISIBLE = new RegExp(`[^${INVISIBLE}]`, 'u')

/** Whether a text has no visible characters. */
export function isBlank (text: string) {
  return !VISIBLE.test(text)
}

/** Removes white space around a text. Returns an empty string if it has no visible characters. */
export function trimmed (text: string) {
  return isBlank(text) ? '' : text.trim()
}

/** Whether Postgres can store a text: it has no NUL and no lone surrogate. */
export function isStorable (text: string) {
  return !text.includes('\0') && text.isWellFormed()
}

/** Removes NUL characters, and replaces lone surrogates by U+FFFD, so that Postgres can store the text. */
export function storable (text: string) {
  return text.replaceAll('\0', '').toWellFormed()
}

/** The length of a text in code points. */
export function lengthOf (text: string) {
  return text.length - (text.match(/[\ud800-\udbff][\udc00-\udfff]/g)?.length ?? 0)
}

/** Whether a text has more than `most` code points. Counts only if the text has more UTF-16 units than that. */
export function isLongerThan (most: number, text: string) {
  return text.length > most && lengthOf(text) > most
}

/** The first `most` code points of a text. */
export function cut (text: string, most: number) {
  return text.length <= most ? text : [...text.slice(0, 2 * most)].slice(0, most).join('')
}

/** The name in a text that another service gives: cleaned, trimmed and cut. Undefined if nothing visible is left. */
export function nameIn (text: string): string | undefined {
  return trimmed(cut(trimmed(text.replaceAll(NOT_IN_NAMES, ' ')), MAX_NAME_LENGTH)) || undefined
}

/** The state of a text that arrives in pieces: its length in code points so far, and half of a surrogate pair whose other half has not arrived. */
export interface Intake { points: number, half: string }

/**
 * Takes the next piece of a text. Gives what can be stored of it: no NUL, whole characters only, and nothing beyond `most`
 * code points in all. If something is cut off, `points` is larger than `most`. What is cut off is not counted: a piece may
 * have millions of characters, and to take them apart would block the event loop.
 */
export function takePiece (intake: Intake, piece: string, most: number): string {
  const whole = intake.half + piece.replaceAll('\0', '')
  intake.half = /[\ud800-\udbff]$/.exec(whole)?.[0] ?? ''
  const text = whole.slice(0, whole.length - intake.half.length).toWellFormed()
  const kept = cut(text, Math.max(0, most - intake.points))
  intake.points = kept.length < text.length ? most + 1 : intake.points + lengthOf(kept)
  return kept
}
