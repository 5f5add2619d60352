// Mentions in a message, as @name. The names of bots have ASCII characters only.

/**
 * Characters of scripts that put no space between words, or add particles to a word without one. Next to a mention they do not
 * belong to the name, as in 你好@assistant, @assistantさん and @assistant야.
 */
const UNSPACED = `[${['Bopomofo', 'Han', 'Hangul', 'Hiragana', 'Katakana', 'Khmer', 'Lao', 'Myanmar', 'Thai'].map(script => `\\p{scx=${script}}`).join('')}]`

/** The beginning of a mention. An @ behind a letter is part of an email address. ＠ is the @ of Chinese and Japanese keyboards. */
const AT = `(?<!(?!${UNSPACED})[\\p{L}\\p{N}_])[@\uff20]`

/** Matches `@name` as a whole word, not as the beginning of a longer name. */
const MENTION = new RegExp(`${AT}([\\w-]+)(?!(?!${UNSPACED})[\\p{L}\\p{M}\\p{N}_-])`, 'gu')

const BEGUN = new RegExp(`${AT}([\\p{L}\\p{M}\\p{N}_-]*)$`, 'u')

/** Matches the mentions at the beginning of a text, one after the other, with what separates them from what follows. */
const ADDRESS = /[@\uff20]([\w-]+)(?:[,:]?\s+|[\u3001\uff0c\uff1a]\s*)/gy

/** The names that a text mentions, in lower case and in order. */
export function mentionsIn (text: string): string[] {
  return Array.from(text.matchAll(MENTION), ([, name]) => name!.toLowerCase())
}

/** The text without the mentions at its beginning of those whom `isKnown` knows, by their names in lower case. */
export function withoutAddress (text: string, isKnown: (name: string) => boolean): string {
  return text.replace(ADDRESS, (whole, name: string) => isKnown(name.toLowerCase()) ? '' : whole)
}

/** The beginning of a name that a text ends with, behind an @; undefined if it does not end with a mention. */
export function mentionBegunIn (text: string): string | undefined {
  return BEGUN.exec(text)?.[1]
}
