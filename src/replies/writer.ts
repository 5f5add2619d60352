import type { FastifyBaseLogger } from 'fastify'
import type { Directory, BotMemory, Turn } from '../bots/bot.ts'
import { failureCodeOf, type FailureCode } from '../failures.ts'
import type { Events } from '../log/followers.ts'
import { createMeter } from './cost.ts'
import { isTooLong, lastOf, take, takeBack, takeBackThoughts, takePart, think, type Draft } from './draft.ts'
import { insist } from './insist.ts'
import type { Ending, Spent, ReplyStore } from './store.ts'
import type { Task, TaskReader } from './task-store.ts'

/** What a bot returned beside the text: its failure, its new state, and the turns that a content filter refused. */
interface Outcome { error: FailureCode | null, memory: BotMemory, refused: Turn[] }

/** Why a reply is aborted: a user stopped it, the server closes, or the lease is lost because another instance has ended the reply. */
export type Reason = 'stopped' | 'interrupted' | 'lost'

export interface WriterOptions {
  store: ReplyStore
  tasks: TaskReader
  directory: Directory
  events: Events
  log: Pick<FastifyBaseLogger, 'warn'>
  /** Called with the tokens of each reply when they are stored. */
  spent?: ((spent: Spent) => void) | undefined
  /** Returns a stable pseudonym of a user for providers. Left out: providers get none. */
  providerUser?: ((user: number) => string) | undefined
}

/** Makes the function that writes a reply: asks the bot, reads its pieces, and stores how the reply ended. */
export function createWriter ({ store, tasks, directory, events, log, spent, providerUser }: WriterOptions) {
  return async function write (draft: Draft): Promise<void> {
    const { conversation, abort: { signal } } = draft
    const outcome: Outcome = { error: null, memory: {}, refused: [] }
    const aborted = new Promise<void>(resolve => { signal.addEventListener('abort', () => resolve()) })
    // Do not wait for a bot that ignores the signal. Its further pieces are dropped.
    if (!signal.aborted) await Promise.race([listen(draft, outcome), aborted])
    if (outcome.refused.length > 0) {
      await store.leaveOut(draft, outcome.refused).catch(err => log.warn({ err, conversation }, 'A refused message cannot be marked; the next reply will find it again'))
    }
    draft.isEnding = true
    await end(draft, outcome, signal.aborted ? signal.reason as Reason : undefined)
  }

  async function listen (draft: Draft, outcome: Outcome) {
    const { conversation, id, abort: { signal } } = draft
    let name: string | undefined
    try {
      const task = await draft.ahead ?? await readTask(draft)
      const bot = task && directory(task.bot)
      name = task?.bot.name
      if (bot?.kind !== 'streaming') throw new Error('the bot is gone')
      const { turns, context, apiKeyHash } = task!
      const user = context.user?.id ?? null
      const meter = draft.meter = createMeter({ user, apiKeyHash, bot: task!.bot.name })
      const pieces = await bot.reply(turns, signal, {
        ...context, metadata: {}, providerUser: user === null ? undefined : providerUser?.(user), begins: meter.begins
      })
      for await (const piece of pieces) {
        if (signal.aborted) return
        if ('refused' in piece && piece.refused !== undefined) outcome.refused = piece.refused
        if ('memory' in piece) Object.assign(outcome.memory, piece.memory)
        if ('part' in piece) takePart(draft, piece.part, piece.isSaid)
        else if ('reasoning' in piece) {
          meter.thinks(piece.reasoning, piece.replaces)
          if (piece.replaces === true) takeBackThoughts(draft)
          const grown = think(draft, piece.reasoning)
          if (grown !== undefined) events.grew(draft, grown)
        } else if (!('text' in piece)) {
          if (piece.usage !== undefined) meter.heard(piece.usage)
        } else {
          if (piece.replaces === true) takeBack(draft)
          const grown = take(draft, piece.text)
          if (grown !== undefined) events.grew(draft, grown)
          if (isTooLong(draft)) throw Object.assign(new Error('a bot said too much'), { failure: 'BOT_NONSENSE' })
        }
      }
    } catch (cause) {
      /* c8 ignore next -- nobody waits for an aborted bot, and a test may end before it throws */
      if (signal.aborted) return
      outcome.error = failureCodeOf((cause as { failure?: unknown }).failure)
      log.warn({ err: cause, bot: name, conversation, id }, 'A bot failed to answer')
    }
  }

  /** Reads what the bot is asked. While the database is unavailable, which is not the bot's fault, it tries again until the reply is aborted. */
  async function readTask (draft: Draft) {
    const { conversation, id, abort: { signal } } = draft
    let task: Task | undefined
    await insist(async () => { task = await tasks.read(draft) }, err => log.warn({ err, conversation, id }, 'The history of a reply cannot be read; trying again soon'), signal)
    return task
  }

  /**
   * Stores how the reply ended, with retries for about as long as the lease lasts; after that, another instance ends the reply. While the
   * database is unavailable, nobody can end it. So a reply that was not aborted waits until the database is back: the flusher then renews
   * its lease. If the lease is lost, the reply has been ended already, and only its cost is stored.
   */
  async function end (draft: Draft, { error, memory }: Outcome, reason: Reason | undefined) {
    const { conversation, id, text, from, meter, abort: { signal } } = draft
    const status = reason === 'lost' ? 'interrupted' : reason ?? (error === null ? 'complete' : 'failed')
    const cost = await meter?.total(text.slice(from)).catch(err => {
      log.warn({ err, conversation, id }, 'The tokens of a reply cannot be counted')
    }) ?? null
    if (reason === 'lost' && cost === null) return
    const ending: Ending = { ...lastOf(draft), status, error: status === 'failed' ? error : null, memory: status === 'complete' ? memory : {}, cost }
    await insist(async () => {
      const added = await store.finish(ending)
      if (cost !== null) spent?.({ bot: cost.bot, ...added })
    }, err => log.warn({ err, conversation, id }, 'The end of a reply cannot be stored'), signal)
  }
}
