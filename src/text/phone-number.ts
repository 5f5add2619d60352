import { INVISIBLE } from './text.ts'

// A phone number as people type and paste it. What is for the eye is left out, and digits of all scripts are the same.

const UNSEEN = new RegExp(`[\\p{Cf}${INVISIBLE}]`, 'gu')
const DIGIT = /\p{Nd}/gu
const PLUS = /[\uff0b\ufe62]/g
const OPENING = /\p{Ps}/gu
const CLOSING = /\p{Pe}/gu

/** Dashes, among them minus signs, tildes and the long vowel mark that Japanese keyboards have on the same key. */
const DASHES = '\\p{Pd}\\u02d7\\u2043\\u207b\\u208b\\u2212\\u2500\\u2501\\u30fc\\uff70~\\u223c\\uff5e'
const DOTS = '.\\u00b7\\u0387\\u06d4\\u2024\\u2027\\u2022\\u2219\\u22c5\\u3002\\u30fb\\ufe52\\uff0e\\uff61\\uff65'
const SLASHES = '/\\\\\\u2044\\u2215\\u2216\\u29f5\\u29f8\\u29f9\\ufe68\\uff0f\\uff3c'
const SEPARATORS = new RegExp(`[${DASHES}${DOTS}${SLASHES}]`, 'gu')

/** Stands for (0), the zero that is dialled only inside of a country. Nothing that was typed looks like it: what is unseen is out by then. */
const TRUNK = '\0'

/** The rule, in a sentence for people. */
export const RULE = 'A phone number has 3 to 15 digits, with an optional +'

export type PhoneNumber =
  | { digits: string, former: string[], reason?: undefined, problem?: undefined }
  /** What is wrong with it, and the same in sentences that begin with the rule. */
  | { reason: string, problem: string }

/**
 * Reads a phone number: its digits, the country code first when there was a + or 00. `former` are other digits under
 * which the same number may be stored, since 00 in front and (0) were once taken as digits.
 * @see https://www.itu.int/rec/T-REC-E.164
 */
export function readPhoneNumber (text: string): PhoneNumber {
  const plain = text.replace(UNSEEN, '').replace(/^tel:/i, '').replace(DIGIT, valueOf).replace(PLUS, '+').replace(SEPARATORS, '')
    .replace(OPENING, '(').replace(CLOSING, ')').replaceAll('(0)', TRUNK).replace(/[()]/g, '')
  const other = /[^\d+]/u.exec(plain.replaceAll(TRUNK, ''))
  if (other !== null) return unclear(`“${other[0]}” does not belong there`)
  if (plain.split('+').length > 2) return unclear('There is more than one +')
  if (plain.lastIndexOf('+') > 0) return unclear('The + must come first')

  const all = plain.replace('+', '').replaceAll(TRUNK, '0')
  const [, prefix, number] = /^(\+?(?:00)?)(.*)$/.exec(plain)!
  const [country, ...parts] = number!.split(TRUNK)
  const isInternational = prefix !== '' && number!.length >= 3
  const isClear = parts.length === 0 || (parts.length === 1 && (isInternational ? /^\d{1,3}$/.test(country!) : plain.startsWith(TRUNK)))
  if (!isClear) return unclear('Write (0) only once, after a country code that begins with + or 00')
  const digits = isInternational ? `${country}${parts.join('')}` : all
  if (digits.length < 3 || digits.length > 15) return unclear(`This one has ${digits.length}`)
  return { digits, former: [...new Set([all, `00${digits}`])].filter(other => other !== digits) }
}

function unclear (reason: string): PhoneNumber {
  return { reason, problem: `${RULE}. ${reason}` }
}

/** Digits of a script stand in order, from zero on; runs of several scripts are multiples of ten. */
function valueOf (digit: string) {
  let zero = digit.codePointAt(0)!
  const point = zero
  while (/\p{Nd}/u.test(String.fromCodePoint(zero - 1))) zero--
  return String((point - zero) % 10)
}
