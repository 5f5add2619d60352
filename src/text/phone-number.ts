import { INVISIBLE } from './text.ts'

// Reads phone numbers as people type and paste them. Separators and invisible characters are removed, and digits of all scripts count.

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

/** Stands for (0), the zero that is dialled only inside of a country. It cannot be in the input, because invisible characters are removed before. */
const TRUNK = '\0'

/** The rule as a sentence for users. */
export const RULE = 'A phone number has 3 to 15 digits, with an optional +'

export type PhoneNumber =
  | { digits: string, former: string[], reason?: undefined, problem?: undefined }
  /** `reason` says what is wrong; `problem` is the rule followed by the reason. */
  | { reason: string, problem: string }

/**
 * Reads a phone number. `digits` begin with the country code if the number began with + or 00. `former` are other digits under
 * which an earlier version may have stored the same number, because it kept 00 at the beginning and (0).
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

/** The value of a digit of any script. Unicode has the ten digits of a script in order; where several scripts are adjacent, each has ten. */
function valueOf (digit: string) {
  let zero = digit.codePointAt(0)!
  const point = zero
  while (/\p{Nd}/u.test(String.fromCodePoint(zero - 1))) zero--
  return String((point - zero) % 10)
}
