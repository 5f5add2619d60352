import { AsyncResource } from 'node:async_hooks'
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyBaseLogger } from 'fastify'
import type { Directory } from '../bots/bot.js'
import type { Listener } from '../db/listener.js'
import { BOT_BUSY, CONVERSATION_NOT_FOUND, MESSAGE_NOT_FOUND, NOT_THE_LAST_REPLY, TOO_MANY_REPLIES } from '../errors.js'
import type { Events } from './events.js'
import type { GenerationStore, Place } from './generation-store.js'
import { createWriting, growthOf, isTooLong, noteStored, take, type Writing } from './writing.js'

const CHANNEL = 'stops'

/**
 * Milliseconds: what has come is stored every `FLUSH`, and a lease of 8 s renewed every `RENEW`, come something or not:
 * by then a reply that is to stop is seen to be, also when its bot is silent and no word came.
 */
const FLUSH = 200
const RENEW = 500
/** How often the replies of those who died, and those that wait, are looked for. */
const SWEEP = 2_000
/** How long replies may go on while the server closes. */
const LAST_WORDS = 8_000

type Usage = { promptTokens: number, completionTokens: number }

/** Why a reply is broken off: somebody asked, the server closes, or another instance has taken it for dead. */
type Reason = 'stopped' | 'interrupted' | 'lost'

export type Generation = ReturnType<typeof createGeneration>

export interface GenerationOptions {
  store: GenerationStore
  directory: Directory
  events: Events
  listener: Pick<Listener, 'publish' | 'subscribe'>
  log: Pick<FastifyBaseLogger, 'info' | 'warn'>
  /** How many replies this instance writes at once. */
  most: number
}

/**
 * Replies that take their time: begun, stored as they grow, stopped, taken up when whoever wrote them died. Nobody's
 * reading has anything to do with it: a reader who leaves stops nothing, and one who is slow slows nothing.
 */
export function createGeneration ({ store, directory, events, listener, log, most }: GenerationOptions) {
  const writing = new Map<string, Writing>()
  /** What is being begun and what is being written: each takes a place, and is waited for before the server closes. */
  const underWay = new Set<Promise<unknown>>()
  let isClosing = false
  let isOver = false
  let isFlushing = false
  let flushing: NodeJS.Timeout | undefined
  let sweeping: NodeJS.Timeout | undefined
  const flushForAll = AsyncResource.bind(flush) // it is no part of the request that happened to begin it

  listener.subscribe(CHANNEL, hurry)

  /** Looks at once whether the replies here are to stop. Their rows say so: one that was begun since is not meant. */
  function hurry (conversations: number[]) {
    const meant = [...writing.values()].filter(({ conversation }) => conversations.includes(conversation))
    for (const reply of meant) reply.isHurried = true
    if (meant.length > 0 && !isFlushing) flushIn(0)
  }

  function breakOff ({ abort }: Writing, reason: Reason) {
    abort.abort(reason)
  }

  /**
   * Does something that may begin a reply, with the name for its lease, or without one where there is no room, so that
   * the reply waits. A place is kept for it meanwhile.
   */
  async function withLease<T> (work: (owner: string | null) => Promise<T>): Promise<T> {
    return hasRoom() ? await track(work(randomUUID())) : await work(null)
  }

  function track<T> (work: Promise<T>): Promise<T> {
    const tracked = work.finally(() => underWay.delete(tracked))
    underWay.add(tracked)
    return tracked
  }

  /** Writes a reply whose lease bears this name. */
  function write (place: Place, owner: string) {
    const reply = createWriting(place, owner)
    writing.set(owner, reply)
    if (isOver) breakOff(reply, 'interrupted')
    track(generate(reply))
    if (!isFlushing) flushing ??= setTimeout(flushForAll, FLUSH)
  }

  async function generate (reply: Writing) {
    const { conversation, owner, abort: { signal } } = reply
    const said: { error: string | null, usage?: Usage } = { error: null }
    const aborted = new Promise<void>(resolve => { signal.addEventListener('abort', () => resolve()) })
    // A bot that does not heed the signal may go on: nobody waits for it, and nobody hears it.
    if (!signal.aborted) await Promise.race([speak(reply, said), aborted])
    const reason = signal.aborted ? signal.reason as Reason : undefined
    if (reason !== 'lost') await end(reply, { ...said, status: reason ?? (said.error === null ? 'complete' : 'failed') })
    writing.delete(owner)
    events.changed(conversation)
    await beginNext(conversation)
  }

  async function speak (reply: Writing, said: { error: string | null, usage?: Usage }) {
    const { conversation, id, abort: { signal } } = reply
    try {
      const task = await store.task(reply)
      const bot = task && directory(task.bot)
      if (bot?.kind !== 'streaming') throw new Error('the bot is gone')
      for await (const piece of await bot.reply(task!.turns, signal)) {
        if (signal.aborted) return
        if ('usage' in piece) said.usage = piece.usage
        else events.grew(reply, take(reply, piece.text))
        if (isTooLong(reply)) throw Object.assign(new Error('a bot said too much'), { failure: 'BOT_NONSENSE' })
      }
    } catch (cause) {
      /* c8 ignore next -- nobody waits for one that is broken off, and a test may end before it throws */
      if (signal.aborted) return
      said.error = (cause as { failure?: string }).failure ?? 'BOT_BROKE_OFF'
      log.warn({ err: cause, conversation, id }, 'a bot could not answer')
    }
  }

  /** Tried as long as the lease lasts; then it is for another instance to say how it ended. */
  async function end (reply: Writing, { status, error, usage }: { status: 'complete' | 'failed' | 'stopped' | 'interrupted', error: string | null, usage?: Usage }) {
    const { conversation, id } = reply
    const ending = { ...growthOf(reply), status, error, promptTokens: usage?.promptTokens ?? null, completionTokens: usage?.completionTokens ?? null }
    for (let attempt = 1; attempt <= 5; attempt++) {
      try {
        await store.finish(ending)
        return
      } catch (err) {
        log.warn({ err, conversation, id }, 'the end of a reply cannot be stored')
        await sleep(attempt * 500)
      }
    }
  }

  /** One statement for all replies under way: it stores what has come, and renews the leases. */
  async function flush () {
    isFlushing = true
    const since = Date.now() - RENEW
    const due = [...writing.values()].filter(({ text, stored, isHurried }) => isHurried || text.length > stored.length || stored.time < since)
    for (const reply of due) reply.isHurried = false
    if (due.length > 0) await storeAll(due).catch(err => log.warn({ err }, 'replies cannot be stored; it is tried again'))
    isFlushing = false
    if (writing.size > 0) flushIn(FLUSH)
    else flushing = undefined
  }

  function flushIn (time: number) {
    clearTimeout(flushing)
    flushing = setTimeout(flushForAll, time)
  }

  async function storeAll (due: Writing[]) {
    const sent = due.map(reply => ({ reply, ...growthOf(reply), length: reply.text.length }))
    const ours = new Map((await store.flush(sent)).map(row => [row.owner, row]))
    for (const { reply, piece, length } of sent) {
      const row = ours.get(reply.owner)
      if (row === undefined) breakOff(reply, 'lost')
      else noteStored(reply, { piece, length })
      if (row?.isToStop) breakOff(reply, 'stopped')
    }
    events.stored(sent.filter(({ piece }) => piece !== ''))
  }

  const hasRoom = () => !isClosing && underWay.size < most

  async function beginNext (conversation: number) {
    try {
      await withLease(async owner => {
        const place = owner && await store.begin(owner, conversation)
        if (!place) return
        write(place, owner)
        events.changed(conversation)
      })
    } catch (err) {
      log.warn({ err, conversation }, 'the next reply cannot be begun; it is tried again')
    }
  }

  async function sweep () {
    try {
      for (const conversation of await store.interruptLapsed()) events.changed(conversation)
      if (hasRoom()) for (const conversation of await store.waiting(most - underWay.size)) await beginNext(conversation)
    } catch (err) {
      log.warn({ err }, 'replies that were left cannot be looked for; it is tried again')
    }
    if (!isClosing) sweeping = setTimeout(sweep, SWEEP).unref()
  }

  /** What is being begun may become a reply: it is looked at again. */
  async function allEnded () {
    while (underWay.size > 0) await Promise.allSettled(underWay)
  }

  return {
    write,
    withLease,

    /** Stops what is being said in a conversation, wherever it is written. @throws CONVERSATION_NOT_FOUND */
    async stop (user: number, conversation: number) {
      if (!await store.stop(user, conversation)) throw new CONVERSATION_NOT_FOUND()
      hurry([conversation])
      events.changed(conversation)
      await listener.publish(CHANNEL, [conversation]).catch(err => log.warn({ err }, 'who writes is not told to stop, and sees it with the next flush'))
    },

    /** Asks again, in the row of the last reply. @throws MESSAGE_NOT_FOUND, BOT_BUSY, NOT_THE_LAST_REPLY, TOO_MANY_REPLIES */
    async regenerate (user: number, place: Place) {
      await withLease(async owner => {
        const became = await store.restart(user, place, owner)
        if (became === null) throw new MESSAGE_NOT_FOUND()
        if (became === 'busy') throw new BOT_BUSY()
        if (became === 'not last') throw new NOT_THE_LAST_REPLY()
        if (became === 'too many') throw new TOO_MANY_REPLIES()
        if (owner !== null) write(place, owner)
        events.changed(place.conversation)
      })
    },

    /** Asks again after the message that its author has changed, where a reply to it is the last one and can be had again. */
    async askAgain (user: number, place: Place) {
      const reply = await store.replyTo(place)
      if (reply !== undefined) await this.regenerate(user, reply).catch(unlessImpossible)
    },

    /** How many replies are written here. */
    count: () => writing.size,

    /** Looks for what others left, now and then, until it closes. */
    start () {
      sweeping = setTimeout(sweep, SWEEP).unref()
    },

    /** Begins nothing more, and lets the replies that are under way end, as long as that is not long; whoever reads sees how. */
    async close () {
      isClosing = true
      clearTimeout(sweeping)
      const all = allEnded()
      const patience = new AbortController()
      await Promise.race([all, sleep(LAST_WORDS, undefined, { signal: patience.signal }).catch(() => { /* all have ended */ })])
      patience.abort()
      isOver = true
      for (const reply of writing.values()) breakOff(reply, 'interrupted')
      await all
      await events.settle()
    }
  }
}

function unlessImpossible (error: unknown) {
  if (!(error instanceof BOT_BUSY || error instanceof NOT_THE_LAST_REPLY || error instanceof TOO_MANY_REPLIES)) throw error
}
