import { setImmediate as pause } from 'node:timers/promises'
import { LRUCache } from 'lru-cache'

export type TokenCounter = ReturnType<typeof createTokenCounter>

/**
 * Texts are counted in slices of this length, in UTF-16 units. The tokenizer takes quadratic time for a run of letters
 * without a space: 100,000 emoji at once would take a minute.
 */
const SLICE_LENGTH = 500

/** How many slices are counted, which takes a few milliseconds, before we yield to the event loop. */
const SLICES_BETWEEN_PAUSES = 20

/** How many characters of texts whose tokens were counted are remembered, in UTF-16 units: about 4 MB. */
const REMEMBERED_LENGTH = 2_000_000

/** Tokens that each message costs in addition to its text, as OpenAI counts. */
export const TOKENS_PER_MESSAGE = 4

/** Treats `<|endoftext|>` and the like in a message as ordinary text, not as a special token. */
const AS_TEXT = { disallowedSpecial: new Set<string>() }

/**
 * Counts tokens with a tokenizer and remembers the counts: each reply needs those of the whole history, which is the same
 * as for the reply before except for its end.
 */
export function createTokenCounter (count: (text: string, options: typeof AS_TEXT) => number) {
  const known = new LRUCache<string, number>({ maxSize: REMEMBERED_LENGTH, sizeCalculation: (_tokens, text) => text.length })
  let slices = 0

  /** Counts the tokens of a text, and stops after `most`. A word that is cut by the end of a slice may count one token more. */
  async function inText (text: string, most = Infinity): Promise<number> {
    const before = known.get(text)
    if (before !== undefined) return before
    let tokens = 0
    for (let at = 0; at < text.length; at += SLICE_LENGTH) {
      if (tokens > most) return tokens
      tokens += count(text.slice(at, at + SLICE_LENGTH), AS_TEXT)
      if (++slices % SLICES_BETWEEN_PAUSES === 0) await pause()
    }
    if (text !== '') known.set(text, tokens)
    return tokens
  }

  return {
    inText,

    /** Counts the tokens of messages with these texts. */
    async inMessages (texts: string[]): Promise<number> {
      let tokens = 0
      for (const text of texts) tokens += TOKENS_PER_MESSAGE + await inText(text)
      return tokens
    }
  }
}

/** Estimates the tokens of a message without counting them: English has about four characters to a token. */
export const roughTokensIn = (text: string) => TOKENS_PER_MESSAGE + Math.ceil(text.length / 4)
