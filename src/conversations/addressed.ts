import type { BotRow, Directory } from '../bots/bot.ts'
import { invalidRequest } from '../http/faults.ts'
import { mentionsIn, withoutAddress } from '../text/mentions.ts'
import { isLongerThan, MAX_MESSAGE_LENGTH } from '../text/text.ts'

/**
 * Finds the bots that reply to a message, and the text that they get. A single bot replies to every message. Of several bots, those
 * that are mentioned as `@name` reply, in any case, in the order of the mentions. Mentions of bots at the beginning are removed
 * from the text; mentions of people stay.
 */
export function addressed (bots: BotRow[], text: string) {
  if (bots.length < 2) return { bots, text }
  const byName = new Map(bots.map(bot => [bot.name.toLowerCase(), bot]))
  const named = mentionsIn(text).flatMap(name => byName.get(name) ?? [])
  return { bots: [...new Set(named)], text: withoutAddress(text, name => byName.has(name)) }
}

/**
 * Refuses a message that is too long for one of the bots that get it: those that it mentions, or if it mentions none, all bots of
 * the conversation, which get it later as a part of the history. Without bots, the limit is MAX_MESSAGE_LENGTH.
 * @param field the client's name of the text's field
 * @throws INVALID_REQUEST, as for a text that does not match the schema
 */
export function mustFit (directory: Directory, bots: BotRow[], text: string, field = 'text'): void {
  if (text.length <= MAX_MESSAGE_LENGTH) return
  const named = addressed(bots, text).bots
  const lengths = (named.length > 0 ? named : bots).map(row => directory(row).longestText ?? MAX_MESSAGE_LENGTH)
  const limit = lengths.length > 0 ? Math.min(...lengths) : MAX_MESSAGE_LENGTH
  if (!isLongerThan(limit, text)) return
  throw invalidRequest([{ path: field, message: `may have at most ${limit.toLocaleString('en-US')} characters` }])
}
