import type { Budgets } from '../accounts/token-budget-store.ts'
import type { Directory } from '../bots/bot.ts'
import { BOT_NOT_FOUND } from '../errors.ts'
import { addressed, mustFit } from './addressed.ts'
import type { Events } from '../log/followers.ts'
import type { Replies } from '../replies/replies.ts'
import type { Incoming, Log, Reply, Exchange, Setting } from '../log/log.ts'

export type Converse = (incoming: Incoming) => Promise<Exchange>

/**
 * The one way that a message takes, from any channel through any bot: the bots are asked, and the message and their
 * answers are stored together; a bot that takes its time begins with that, and its answer grows. Of several messages
 * to one conversation each is answered after the one before it, here by waiting in turn, between instances by asking
 * again. Followers of the conversation are told after the commit.
 * @throws what `Log.read` throws, BOT_NOT_FOUND where the one bot to ask is not in the conversation, INVALID_REQUEST for a
 * text that is too long for the bots, and BUDGET_SPENT where a bot that streams its replies would be asked
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
      // Every change of a conversation takes the next number: if these are the expected ones, nothing else was changed.
      const isAsExpected = said!.messages[0]!.id === place.lastRev! + 1 && begun.id === place.lastRev! + 2
      generation.write({ conversation: said!.conversation, id: begun.id }, owner!, isAsExpected ? ahead : undefined)
      return said
    }
    const takesTime = replies.some(({ answer }) => answer === null)
    // A repeat of a stored message was answered before: it costs nothing, and is served whatever is left.
    if (takesTime && budgets.areSet(setting.hasBudget)) await budgets.mustHaveLeft(incoming.author.id)
    const said = takesTime ? await generation.withLease(append) : await append(null)
    if (said !== undefined) events.changed(said.conversation)
    return said
  }

  /** Begins to read what the bot of the first reply gets, if that reply is streamed. */
  function readAhead ({ author, text, parts, metadata }: Incoming, { id, lastRev }: Setting, [reply]: Reply[]) {
    if (id === null || lastRev === null || reply?.answer !== null) return undefined
    return generation.readAhead({ conversation: id, id: lastRev + 1, bot: reply.bot.id, author: author.id, text, parts, metadata })
  }
}

/** Runs work of the same key one after the other, in the order of the calls. */
function createKeyedQueue () {
  const last = new Map<string, Promise<unknown>>()
  return async function inTurn<T> (key: string, work: () => Promise<T>): Promise<T> {
    const mine = (last.get(key) ?? Promise.resolve()).then(work, work)
    last.set(key, mine)
    try {
      return await mine
    } finally {
      if (last.get(key) === mine) last.delete(key)
    }
  }
}
