import type { BotRow, Directory } from '../bots/bot.js'
import type { Events } from './events.js'
import type { Generation } from './generation.js'
import type { Incoming, Log, Reply, Said, Setting } from './log.js'

export type Converse = (incoming: Incoming) => Promise<Said>

/**
 * The one way that a message takes, from any channel through any bot: the bots are asked, and the message and their
 * answers are stored together; a bot that takes its time begins with that, and its answer grows. Of several messages
 * to one conversation each is answered after the one before it, here by waiting in turn, between instances by asking
 * again. Whoever follows the conversation is told after the commit.
 * @throws what `Log.read` throws
 */
export function createConverse (log: Log, directory: Directory, events: Events, generation: Generation): Converse {
  const inTurn = createTurns()

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
    const { bots, text } = addressed(setting.bots, incoming.text)
    const replies = bots.map((row): Reply => {
      if (incoming.answer !== undefined) return { bot: row, answer: { text: incoming.answer } }
      const bot = directory(row)
      return { bot: row, answer: bot.kind === 'instant' ? bot.answer({ text, state: setting.state[row.id] }) : null }
    })
    const beginsAnew = setting.isFinished && 'newestOf' in to && incoming.answer === undefined && !replies.some(({ answer }) => answer?.isFinished)
    const place = beginsAnew ? { ...setting, id: null, state: {}, isFinished: false } : setting
    const append = async (owner: string | null) => {
      const said = await log.append(incoming, place, replies, owner)
      const begun = said?.messages.find(({ status }) => status === 'streaming')
      if (begun !== undefined) generation.write({ conversation: said!.conversation, id: begun.id }, owner!)
      return said
    }
    const takesTime = replies.some(({ answer }) => answer === null)
    const said = takesTime ? await generation.withLease(append) : await append(null)
    if (said !== undefined) events.changed(said.conversation)
    return said
  }
}

/**
 * Who answers, and to what: the only bot, or of several those that are named as `@name`, in any case, in the order
 * named. Their names at the beginning are an address, which the bots do not hear; those of people they do.
 */
function addressed (bots: BotRow[], text: string) {
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

/** Work of one key is done one after the other, in the order in which it came. */
function createTurns () {
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
