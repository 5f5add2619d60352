import { randomUUID } from 'node:crypto'
import type { FastifyBaseLogger } from 'fastify'
import type { Budgets } from '../accounts/token-budget-store.ts'
import type { Estimate, ReplyContext, StreamingBot, Turn } from '../bots/bot.ts'
import { BOT_CONTEXT_FULL, BOT_FAILED, MESSAGE_REFUSED, TOO_MANY_REPLIES } from '../errors.ts'
import { failureCodeOf, FAILURES, type FailureCode } from '../failures.ts'
import { wordsOf, type Addendum } from '../text/message-parts.ts'
import { MAX_REPLY_LENGTH, takePiece, type Intake } from '../text/text.ts'
import { createMeter, type Cost } from './cost.ts'
import { insist } from './insist.ts'
import type { Replies } from './replies.ts'
import type { AttemptStatus, ReplyStore, Spent } from './store.ts'

/** How many replies to one user are written at the same time at most. `append_message` has the same limit. */
const MAX_AT_ONCE = 3

export type UnstoredReplies = ReturnType<typeof createUnstoredReplies>

/** A request for a reply from a client that keeps the history itself. */
export interface Question {
  bot: { name: string, reply: StreamingBot }
  /** The history, oldest first. The last message of a user is the one to answer. */
  turns: Turn[]
  /** What the client adds to the bot's own prompt; empty for nothing. */
  instructions: string
  /** Null when a server asks for no user. Then `apiKeyHash` is the SHA-256 of its key, which is charged instead. */
  user: ReplyContext['user']
  apiKeyHash: string | null
}

/** Takes the next piece of a reply. With `replaces`, everything before it was no part of the reply. */
export type Hear = (text: string, replaces: boolean) => void | Promise<void>

export interface UnstoredOptions {
  generation: Pick<Replies, 'takePlace'>
  store: Pick<ReplyStore, 'recordCost' | 'underWay'>
  budgets: Pick<Budgets, 'mustHaveLeft' | 'keyMustHaveLeft'>
  log: Pick<FastifyBaseLogger, 'warn'>
  /** Is called with the tokens of each reply when they are stored. */
  spent: (spent: Spent) => void
  /** The pseudonym of a user that a provider may know. */
  providerUser: (user: number) => string
}

/** Replies that nobody stores, because the client has the history. Only their costs are stored. */
export function createUnstoredReplies ({ generation, store, budgets, log, spent, providerUser }: UnstoredOptions) {
  /** How many such replies this instance is writing, by user. */
  const underWay = new Map<number, number>()

  /**
   * Asks a bot for a reply, within the limits of stored replies. `hear` gets its text, and the next piece is read when the
   * promise of `hear` resolves. Aborting `abort` ends the request to the provider; then the reply simply ends early.
   * @returns the tokens of the reply
   * @throws BUDGET_SPENT, TOO_MANY_REPLIES, SERVER_BUSY before the bot is asked; MESSAGE_REFUSED, BOT_CONTEXT_FULL or
   * BOT_FAILED when it cannot reply
   */
  async function write (question: Question, abort: AbortController, hear: Hear) {
    const { user } = question
    const leave = generation.takePlace(abort)
    try {
      if (user === null) {
        await budgets.keyMustHaveLeft(question.apiKeyHash!)
        return await ask(question, abort.signal, hear)
      }
      // Counted before the query, so that replies that begin at the same moment count each other.
      const mine = (underWay.get(user.id) ?? 0) + 1
      underWay.set(user.id, mine)
      try {
        await budgets.mustHaveLeft(user.id)
        if (mine + await store.underWay(user.id) > MAX_AT_ONCE) throw new TOO_MANY_REPLIES()
        return await ask(question, abort.signal, hear)
      } finally {
        const left = underWay.get(user.id)! - 1
        if (left > 0) underWay.set(user.id, left)
        else underWay.delete(user.id)
      }
    } finally {
      leave()
    }
  }

  async function ask ({ bot, turns, instructions, user, apiKeyHash }: Question, signal: AbortSignal, hear: Hear) {
    const meter = createMeter({ user: user?.id ?? null, apiKeyHash, bot: bot.name })
    const attempt = randomUUID()
    let text = ''
    let failed: FailureCode | undefined
    let cause: unknown
    let early: Promise<void> | undefined

    const aborted = new Promise<void>(resolve => { signal.addEventListener('abort', () => resolve()) })
    // A bot that ignores the signal may go on, but nobody waits for it or hears it.
    if (!signal.aborted) await Promise.race([listen(), aborted])
    await early
    const status = signal.aborted ? signal.reason as 'stopped' | 'interrupted' : failed === undefined ? 'complete' : 'failed'
    const cost = await meter.total(text).catch(err => {
      log.warn({ err, bot: bot.name }, 'The tokens of a reply cannot be counted')
    }) ?? null
    if (cost !== null) await record(status, cost)
    if (failed !== undefined && !signal.aborted) throw refusalOf(failed, cause)
    return { promptTokens: cost?.prompt_tokens ?? 0, completionTokens: cost?.completion_tokens ?? 0 }

    async function listen () {
      const intake: Intake = { points: 0, half: '' }
      /** Parts that follow the text, and those of them that it does not say. The client gets text only. */
      const addenda: Addendum[] = []
      const unsaid: Addendum[] = []
      try {
        const pieces = await bot.reply(turns, signal, {
          conversation: null,
          message: null,
          user,
          channel: 'v1',
          state: null,
          metadata: {},
          begins,
          ...instructions !== '' && { instructions },
          providerUser: user === null ? undefined : providerUser(user.id)
        })
        for await (const piece of pieces) {
          if (signal.aborted) return
          if (!('text' in piece)) {
            if ('part' in piece) {
              addenda.push(piece.part)
              if (!piece.isSaid) unsaid.push(piece.part)
            }
            if ('usage' in piece && piece.usage !== undefined) meter.heard(piece.usage)
            if ('reasoning' in piece) meter.thinks(piece.reasoning, piece.replaces)
            continue
          }
          if (piece.replaces === true) Object.assign(intake, { points: 0, half: '' })
          const said = takePiece(intake, piece.text, MAX_REPLY_LENGTH)
          text = piece.replaces === true ? said : text + said
          await hear(said, piece.replaces === true)
          if (intake.points > MAX_REPLY_LENGTH) throw Object.assign(new Error('a bot said too much'), { failure: 'BOT_NONSENSE' })
        }
        const words = wordsOf(text === '' ? addenda : unsaid)
        if (words === '') return
        const added = text === '' ? words : `\n\n${words}`
        text += added
        await hear(added, false)
      } catch (err) {
        /* c8 ignore next -- nobody waits for an aborted bot, and a test may end before it throws */
        if (signal.aborted) return
        failed = failureCodeOf((err as { failure?: unknown }).failure)
        cause = err
        log.warn({ err, bot: bot.name }, 'A bot failed to answer')
      }
    }

    /** Stores a rough cost when the provider begins to answer, in case this process dies. */
    function begins (estimate: Estimate) {
      meter.begins(estimate)
      early = record('interrupted', meter.news()!)
    }

    async function record (status: AttemptStatus, cost: Cost) {
      await insist(async () => {
        spent({ bot: bot.name, ...await store.recordCost(attempt, status, cost) })
      }, err => log.warn({ err, bot: bot.name }, 'The cost of a reply cannot be stored'))
    }
  }

  return { write }
}

function refusalOf (code: FailureCode, cause: unknown) {
  if (code === 'MESSAGE_REFUSED') return Object.assign(new MESSAGE_REFUSED(), { cause })
  if (code === 'BOT_CONTEXT_FULL') return Object.assign(new BOT_CONTEXT_FULL(), { cause })
  return Object.assign(new BOT_FAILED(), { message: FAILURES[code], cause })
}
