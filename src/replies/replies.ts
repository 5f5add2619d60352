import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyBaseLogger } from 'fastify'
import type { Budgets } from '../accounts/token-budget-store.ts'
import type { Transaction } from '../db/client.ts'
import type { Listener } from '../db/listener.ts'
import { BOT_BUSY, BUDGET_SPENT, CONVERSATION_NOT_FOUND, NOT_THE_LAST_REPLY, SERVER_BUSY, TOO_MANY_REPLIES, UNAUTHORIZED } from '../errors.ts'
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
  /** The most replies that this instance writes at the same time. */
  most: number
}

/**
 * Streamed replies: begins them, stores them while they grow, stops them, and ends those of an instance that died. They do not
 * depend on readers: a client that disconnects does not stop a reply, and a slow one does not slow it down.
 */
export function createReplies ({ listener, budgets, most, ...options }: RepliesOptions) {
  const { store, directory, events, log, spent } = options
  const writeDraft = createWriter(options)
  const flusher = createFlusher(options)
  const sweeper = createSweeper({ store, events, log, spent, room, beginNext })
  /** The replies that are being begun or written. Each takes one of the `most` places, and `close` waits for it. */
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
   * Runs work that may begin a reply, and keeps a place for the reply meanwhile. `work` gets the owner's name for the reply's
   * lease, or null if no place is free; then it must queue the reply.
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

  /** Writes a reply whose lease has this owner. `ahead` is the bot's task, if it was read already. */
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

  /** Resolves when nothing is being begun or written. Looks again after each wait, because work that has ended may have begun a reply. */
  async function allEnded () {
    while (underWay.size > 0) await Promise.allSettled(underWay)
  }

  return {
    write,
    withLease,
    takePlace,

    /** Reads a bot's task while the message is being stored, so that the provider is asked sooner. Undefined if that fails. */
    readAhead: async (upcoming: Upcoming): Promise<Task | undefined> => await options.tasks.readAhead(upcoming).catch(() => undefined),

    /** Stops the replies in a conversation, on whichever instance they are written. @throws CONVERSATION_NOT_FOUND */
    async stop (user: number, conversation: number) {
      if (!await store.stop(user, conversation)) throw new CONVERSATION_NOT_FOUND()
      flusher.hurry([conversation])
      events.changed(conversation)
      await tell([conversation])
    },

    /** Stops the replies to a user's messages, also queued ones, on all instances. */
    async stopFor (user: number) {
      const conversations = await store.stopFor(user)
      flusher.hurry(conversations)
      for (const conversation of conversations) events.changed(conversation)
      if (conversations.length > 0) await tell(conversations)
    },

    /**
     * Generates the last reply again, in the same row. It is charged to the author of the message, as the first attempt was. The
     * user who asks for it must have budget left, too. `first` makes changes before that in the same transaction: if the reply is
     * refused, nothing is changed.
     * @throws MESSAGE_NOT_FOUND, BOT_BUSY, NOT_THE_LAST_REPLY, TOO_MANY_REPLIES, BUDGET_SPENT, UNAUTHORIZED when the user was locked
     * meanwhile, and what `first` throws
     */
    async regenerate (user: number, place: MessageKey, first?: (tx: Transaction) => Promise<void>) {
      await this.mustHaveBudget(user, place)
      await this.resume(user, place, first)
    },

    /** Checks the budgets that `regenerate` needs. @throws BUDGET_SPENT */
    async mustHaveBudget (user: number, place: MessageKey) {
      await budgets.mustHaveLeft(user)
      const author = await store.askedBy(user, place)
      if (author !== undefined && author !== user) await budgets.mustHaveLeft(author)
    },

    /** The same without checking budgets, for a reply that we interrupted ourselves: its first attempt was allowed. */
    async resume (user: number, place: MessageKey, first?: (tx: Transaction) => Promise<void>) {
      const row = await store.botOf(place)
      const bot = row !== undefined && directory(row).kind === 'streaming' ? row.id : null
      await withLease(async owner => {
        await store.restart(user, place, owner, bot, first)
        if (owner !== null) write(place, owner)
        events.changed(place.conversation)
      })
    },

    /** Generates the reply to an edited message again. Does nothing if that reply is not the last one, or cannot be generated again now. */
    async askAgain (user: number, place: MessageKey) {
      const reply = await store.replyTo(place)
      if (reply !== undefined) await this.regenerate(user, reply).catch(unlessImpossible)
    },

    /** The number of replies that this instance is writing. */
    count,

    /** Begins to look for replies of dead instances and for queued ones, every SWEEP_EVERY_MS, until `close`. */
    start: sweeper.start,

    /** Starts no more replies, and waits a few seconds for those in progress to end. Those that do not are marked `interrupted`. */
    async close () {
      isClosing = true
      sweeper.stop()
      if (count() > 0) log.info(`Waiting up to ${CLOSE_TIMEOUT_MS / 1000} s for the replies in progress (${count()}) to end`)
      const all = allEnded()
      const timeout = new AbortController()
      await Promise.race([all, sleep(CLOSE_TIMEOUT_MS, undefined, { signal: timeout.signal }).catch(() => { /* aborted, because all have ended */ })])
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
  if (!(error instanceof UNAUTHORIZED || error instanceof BOT_BUSY || error instanceof NOT_THE_LAST_REPLY || error instanceof TOO_MANY_REPLIES || error instanceof BUDGET_SPENT)) throw error
}
