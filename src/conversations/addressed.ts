import type { BotRow, Directory } from '../bots/bot.ts'
import { invalidRequest } from '../http/faults.ts'
import { isLongerThan, MAX_MESSAGE_LENGTH } from '../text/text.ts'

/**
 * Who answers, and to what: the only bot, or of several those that are named as `@name`, in any case, in the order
 * named. Their names at the beginning are an address, which the bots do not hear; those of people they do.
 */
export function addressed (bots: BotRow[], text: string) {
  if (bots.length < 2) return { bots, text }
  const byName = new Map(bots.map(bot => [bot.name.toLowerCase(), bot]))
  const named = [...text.matchAll(NAMED)].flatMap(([, name]) => byName.get(name!.toLowerCase()) ?? [])
  return {
    bots: [...new Set(named)],
    text: text.replace(ADDRESS, (whole, name: string) => byName.has(name.toLowerCase()) ? '' : whole)
  }
}

/** `@name` as a whole word: neither part of an e-mail address nor of a longer name. */
const NAMED = /(?<![\p{L}\p{N}_])@([\p{L}\p{M}\p{N}_-]+)/gu

/** One `@name` after the other, from the beginning on. */
const ADDRESS = /@([\w-]+)[,:]?\s+/gy

/**
 * Refuses a message that is too long for one of the bots that hear it: those it addresses, or all of the conversation,
 * which read it later, when it addresses none. A message that no bot hears has the usual length at most.
 * @param field what the client calls the text
 * @throws INVALID_REQUEST, as for a text that breaks the schema
 */
export function mustFit (directory: Directory, bots: BotRow[], text: string, field = 'text'): void {
  if (text.length <= MAX_MESSAGE_LENGTH) return
  const named = addressed(bots, text).bots
  const lengths = (named.length > 0 ? named : bots).map(row => directory(row).longestText ?? MAX_MESSAGE_LENGTH)
  const limit = lengths.length > 0 ? Math.min(...lengths) : MAX_MESSAGE_LENGTH
  if (!isLongerThan(limit, text)) return
  throw invalidRequest([{ path: field, message: `may have at most ${limit.toLocaleString('en-US')} characters` }])
}
