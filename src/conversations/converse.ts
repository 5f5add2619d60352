import type { Budgets } from '../accounts/token-budget-store.ts'
import type { Directory } from '../bots/bot.ts'
import { createKeyedQueue } from '../db/keyed-queue.ts'
import { BOT_NOT_FOUND } from '../errors.ts'
import { addressed, mustFit } from './addressed.ts'
import type { Events } from '../log/followers.ts'
import type { Replies } from '../replies/replies.ts'
import type { Incoming, Log, Reply, Exchange, Setting } from '../log/log.ts'

export type Converse = (incoming: Incoming) => Promise<Exchange>

/**
 * Handles every message, from any channel to any bot. Instant bots are asked first, and the message and their replies are
 * stored together. For a streaming bot an empty reply is stored with the message, and then grows. Messages to one conversation
 * are answered one after the other: on one instance they wait in a queue; if another instance has stored a message first, the
 * bots are asked again. The conversation's followers are notified after the commit.
 * @throws what `Log.read` throws; BOT_NOT_FOUND if `incoming.bot` is not in the conversation; INVALID_REQUEST for a text that is
 * too long for the bots; BUDGET_SPENT if a streaming bot would have to reply
 */
export function createConverse (log: Log, directory: Directory, events: Events, generation: Replies, budgets: Budgets): Converse {
  const inTurn = createKeyedQueue()

  return function converse (incoming) {
    const key = 'conversation' in incoming.to ? `conversation ${incoming.to.conversation}` : `user ${incoming.author.id}`
    return inTurn(key, async () => {
      for (;;) {
        const found = await log.read(incoming)
        if ('answered' in found) return found.answered
        const stored = await answer(incoming, found.setting)
        if (stored !== undefined) return stored
      }
    })
  }

  async function answer (incoming: Incoming, setting: Setting) {
    const { to } = incoming
    const present = incoming.bot === undefined ? setting.bots : setting.bots.filter(({ name }) => name === incoming.bot)
    if (incoming.bot !== undefined && present.length === 0) throw new BOT_NOT_FOUND()
    mustFit(directory, present, incoming.text, incoming.field)
    const { bots, text } = addressed(present, incoming.text)
    const replies = bots.map((row): Reply => {
      if (incoming.answer !== undefined) return { bot: row, answer: { text: incoming.answer } }
      const bot = directory(row)
      return { bot: row, answer: bot.kind === 'instant' ? bot.answer({ text, state: setting.state[row.id] }) : null }
    })
    const beginsAnew = setting.isFinished && 'newestOf' in to && incoming.answer === undefined && !replies.some(({ answer }) => answer?.isFinished)
    const place = beginsAnew ? { ...setting, id: null, state: {}, isFinished: false } : setting
    const append = async (owner: string | null) => {
      const ahead = owner === null ? undefined : readAhead(incoming, place, replies)
      const said = await log.append(incoming, place, replies, owner)
      const begun = said?.messages.find(({ status }) => status === 'streaming')
      if (begun === undefined) return said
      // Each change of a conversation gets the next number. With the expected numbers, nothing else has changed since the history was read.
      const isAsExpected = said!.messages[0]!.id === place.lastRev! + 1 && begun.id === place.lastRev! + 2
      generation.write({ conversation: said!.conversation, id: begun.id }, owner!, isAsExpected ? ahead : undefined)
      return said
    }
    const takesTime = replies.some(({ answer }) => answer === null)
    // A retry of a stored message does not get here, so it is answered even if the budget is spent.
    if (takesTime && budgets.areSet(setting.hasBudget)) await budgets.mustHaveLeft(incoming.author.id)
    const said = takesTime ? await generation.withLease(append) : await append(null)
    if (said !== undefined) events.changed(said.conversation)
    return said
  }

  /** Begins to read the history for the bot of the first reply, if that bot streams. */
  function readAhead ({ author, text, parts, metadata }: Incoming, { id, lastRev }: Setting, [reply]: Reply[]) {
    if (id === null || lastRev === null || reply?.answer !== null) return undefined
    return generation.readAhead({ conversation: id, id: lastRev + 1, bot: reply.bot.id, author: author.id, text, parts, metadata })
  }
}
