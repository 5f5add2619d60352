import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyBaseLogger } from 'fastify'
import type { Budgets } from '../accounts/token-budget-store.ts'
import type { Transaction } from '../db/client.ts'
import type { Listener } from '../db/listener.ts'
import { BOT_BUSY, BUDGET_SPENT, CONVERSATION_NOT_FOUND, NOT_THE_LAST_REPLY, SERVER_BUSY, TOO_MANY_REPLIES } from '../errors.ts'
import { createDraft } from './draft.ts'
import { breakOff, createFlusher } from './flusher.ts'
import type { MessageKey } from './store.ts'
import { createSweeper } from './sweeper.ts'
import type { Task, Upcoming } from './task-store.ts'
import { createWriter, type WriterOptions } from './writer.ts'

const CHANNEL = 'stops'

/** How long replies may go on while the server closes. */
const CLOSE_TIMEOUT_MS = 8_000

export type Replies = ReturnType<typeof createReplies>

export interface RepliesOptions extends WriterOptions {
  listener: Pick<Listener, 'publish' | 'subscribe'>
  log: Pick<FastifyBaseLogger, 'info' | 'warn'>
  budgets: Budgets
  /** How many replies this instance writes at once. */
  most: number
}

/**
 * The life of replies that take their time: begun, stored as they grow, stopped, and taken over when the instance that
 * writes them dies. Readers have nothing to do with it: one who leaves stops nothing, and one who is slow slows nothing.
 */
export function createReplies ({ listener, budgets, most, ...options }: RepliesOptions) {
  const { store, directory, events, log, spent } = options
  const writeDraft = createWriter(options)
  const flusher = createFlusher(options)
  const sweeper = createSweeper({ store, events, log, spent, room, beginNext })
  /** What is being begun and what is being written: each takes a place, and is waited for before the server closes. */
  const underWay = new Set<Promise<unknown>>()
  /** Aborts the replies that are written here and not stored. */
  const unstored = new Set<AbortController>()
  let isClosing = false
  let isOver = false

  listener.subscribe(CHANNEL, flusher.hurry)

  function room () {
    return isClosing ? 0 : most - underWay.size
  }

  /**
   * Does something that may begin a reply. It is given the name for the reply's lease, or null where there is no room, so
   * that the reply waits. A place is kept for it meanwhile.
   */
  async function withLease<T> (work: (owner: string | null) => Promise<T>): Promise<T> {
    return room() > 0 ? await track(work(randomUUID())) : await work(null)
  }

  /**
   * Takes a place for a reply that is not stored, until the returned function is called. While the server closes, `abort` is
   * aborted if the reply takes too long.
   * @throws SERVER_BUSY when no place is free
   */
  function takePlace (abort: AbortController): () => void {
    if (room() <= 0) throw new SERVER_BUSY()
    const { promise, resolve } = Promise.withResolvers<void>()
    track(promise)
    unstored.add(abort)
    return function leave () {
      unstored.delete(abort)
      resolve()
    }
  }

  function count () {
    return flusher.count() + unstored.size
  }

  function track<T> (work: Promise<T>): Promise<T> {
    const tracked = work.finally(() => underWay.delete(tracked))
    underWay.add(tracked)
    return tracked
  }

  /** Writes a reply whose lease bears this name. `ahead` is what the bot gets, if it was read before. */
  function write (place: MessageKey, owner: string, ahead?: Promise<Task | undefined>) {
    track(writeAndGoOn(place, owner, ahead))
  }

  async function writeAndGoOn (place: MessageKey, owner: string, ahead?: Promise<Task | undefined>) {
    const draft = createDraft(place, owner, ahead)
    flusher.add(draft)
    if (isOver) breakOff(draft, 'interrupted')
    await writeDraft(draft)
    flusher.remove(draft)
    events.changed(place.conversation)
    await beginNext(place.conversation)
  }

  async function beginNext (conversation: number) {
    try {
      await withLease(async owner => {
        const place = owner && await store.begin(owner, conversation)
        if (!place) return
        write(place, owner)
        events.changed(conversation)
      })
    } catch (err) {
      log.warn({ err, conversation }, 'The next reply cannot be started; trying again soon')
    }
  }

  async function tell (conversations: number[]) {
    await listener.publish(CHANNEL, conversations).catch(err => log.warn({ err }, 'The other instances cannot be notified to stop replies; they will notice when they store them'))
  }

  /** What is being begun may become a reply: it is looked at again. */
  async function allEnded () {
    while (underWay.size > 0) await Promise.allSettled(underWay)
  }

  return {
    write,
    withLease,
    takePlace,

    /** Reads what a bot gets while its question is being stored, so that the provider is asked sooner. Undefined if that fails. */
    readAhead: async (upcoming: Upcoming): Promise<Task | undefined> => await options.tasks.readAhead(upcoming).catch(() => undefined),

    /** Stops what is being said in a conversation, wherever it is written. @throws CONVERSATION_NOT_FOUND */
    async stop (user: number, conversation: number) {
      if (!await store.stop(user, conversation)) throw new CONVERSATION_NOT_FOUND()
      flusher.hurry([conversation])
      events.changed(conversation)
      await tell([conversation])
    },

    /** Stops what is being written, or waits, for a user. */
    async stopFor (user: number) {
      const conversations = await store.stopFor(user)
      flusher.hurry(conversations)
      for (const conversation of conversations) events.changed(conversation)
      if (conversations.length > 0) await tell(conversations)
    },

    /**
     * Asks again, in the row of the last reply. It counts against the budget of the author of the question, as the reply
     * did, and those who have nothing left cannot ask at somebody else's cost. `first` is what to change before that, in the
     * same transaction: when the reply is refused, nothing is changed.
     * @throws MESSAGE_NOT_FOUND, BOT_BUSY, NOT_THE_LAST_REPLY, TOO_MANY_REPLIES, BUDGET_SPENT, and what `first` throws
     */
    async regenerate (user: number, place: MessageKey, first?: (tx: Transaction) => Promise<void>) {
      await budgets.mustHaveLeft(user)
      const author = await store.askedBy(user, place)
      if (author !== undefined && author !== user) await budgets.mustHaveLeft(author)
      await this.resume(user, place, first)
    },

    /** The same for a reply that broke off by our own fault: it was allowed already. */
    async resume (user: number, place: MessageKey, first?: (tx: Transaction) => Promise<void>) {
      const row = await store.botOf(place)
      const bot = row !== undefined && directory(row).kind === 'streaming' ? row.id : null
      await withLease(async owner => {
        await store.restart(user, place, owner, bot, first)
        if (owner !== null) write(place, owner)
        events.changed(place.conversation)
      })
    },

    /** Asks again after the message that its author has changed, where a reply to it is the last one and can be had again. */
    async askAgain (user: number, place: MessageKey) {
      const reply = await store.replyTo(place)
      if (reply !== undefined) await this.regenerate(user, reply).catch(unlessImpossible)
    },

    /** How many replies are written here. */
    count,

    /** Looks now and then for what others left, until it closes. */
    start: sweeper.start,

    /** Starts no more replies, and waits a few seconds for those in progress to end. Those that do not are marked `interrupted`. */
    async close () {
      isClosing = true
      sweeper.stop()
      if (count() > 0) log.info(`Waiting up to ${CLOSE_TIMEOUT_MS / 1000} s for the replies in progress (${count()}) to end`)
      const all = allEnded()
      const timeout = new AbortController()
      await Promise.race([all, sleep(CLOSE_TIMEOUT_MS, undefined, { signal: timeout.signal }).catch(() => { /* all have ended */ })])
      timeout.abort()
      isOver = true
      flusher.breakOffAll('interrupted')
      for (const abort of unstored) abort.abort('interrupted')
      await all
      await events.settle()
    }
  }
}

function unlessImpossible (error: unknown) {
  if (!(error instanceof BOT_BUSY || error instanceof NOT_THE_LAST_REPLY || error instanceof TOO_MANY_REPLIES || error instanceof BUDGET_SPENT)) throw error
}
