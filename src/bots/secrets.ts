/** A shorter secret, such as a placeholder for a server that needs no key, is removed only where it is a whole word. */
const MIN_SECRET_LENGTH = 8

/** A word with this many consecutive characters of a secret is removed. Fewer are enough where the word is masked, as in `sk-ab***yz`. */
const REVEALING_LENGTH = 6
const REVEALING_LENGTH_IF_MASKED = 3

/** How much of a text gets into the log, in characters. */
const MAX_LOGGED_LENGTH = 1000

/** How much of it is searched for secrets, which takes memory for each character. It can become shorter: an encoded secret has up to six characters for one. */
const MAX_SEARCHED_LENGTH = 16 * MAX_LOGGED_LENGTH

/**
 * Makes a function that shortens a text for the log and removes secrets from it, also where the text has only a part of a secret,
 * or masks or encodes it (for a URL, JSON or HTML, in base64 or hexadecimal).
 */
export function createRedaction (secrets: string[]) {
  const long = secrets.filter(secret => secret.length >= MIN_SECRET_LENGTH)
  const short = secrets.filter(secret => secret.length < MIN_SECRET_LENGTH && secret !== '')
  const parts = new Set(long.flatMap(formsOf).flatMap(form => partsOf(form, REVEALING_LENGTH)))
  const masked = new Set(long.flatMap(secret => partsOf(secret, REVEALING_LENGTH_IF_MASKED)))
  const isTelling = (word: string) => partsOf(word, REVEALING_LENGTH).some(part => parts.has(part)) ||
    (/[*•…]|\.{2}|x{4}/i.test(word) && partsOf(word, REVEALING_LENGTH_IF_MASKED).some(part => masked.has(part)))

  return function redact (text: string): string {
    return decoded(text.slice(0, MAX_SEARCHED_LENGTH))
      .replace(/[^\s"'`<>(){}[\],;]+/g, word => short.includes(word) || isTelling(word) ? '…' : word)
      .slice(0, MAX_LOGGED_LENGTH)
  }
}

/** A secret as it may stand in a text. Base64 has three forms, since it depends on where in a group of three bytes the secret begins. */
function formsOf (secret: string) {
  const base64 = [0, 1, 2].map(before => Buffer.from(' '.repeat(before) + secret).toString('base64').slice(before === 0 ? 0 : 4).replace(/.?={0,2}$/, ''))
  return [secret, ...base64, ...base64.map(form => form.replaceAll('+', '-').replaceAll('/', '_')), Buffer.from(secret).toString('hex')]
}

function partsOf (text: string, length: number) {
  return Array.from({ length: Math.max(0, text.length - length + 1) }, (_, at) => text.slice(at, at + length))
}

function decoded (text: string) {
  return text
    .replace(/(%[0-9a-f]{2})+/gi, bytes => Buffer.from(bytes.replaceAll('%', ''), 'hex').toString())
    .replace(/(?<!\\)\\+u([0-9a-f]{4})/gi, (_, code: string) => String.fromCharCode(Number.parseInt(code, 16)))
    .replace(/&#x([0-9a-f]{1,5});/gi, (_, code: string) => String.fromCodePoint(Number.parseInt(code, 16)))
    .replace(/&#(\d{1,6});/g, (_, code: string) => String.fromCodePoint(Number(code)))
}
