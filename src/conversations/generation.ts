import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyBaseLogger } from 'fastify'
import type { Directory } from '../bots/bot.js'
import type { Listener } from '../db/listener.js'
import { BOT_BUSY, CONVERSATION_NOT_FOUND, MESSAGE_NOT_FOUND, NOT_THE_LAST_REPLY } from '../errors.js'
import type { Events } from './events.js'
import type { GenerationStore, Growth, Place } from './generation-store.js'

const CHANNEL = 'stops'

/** Milliseconds: what has come is stored every `FLUSH`, and a lease of 8 s renewed every `RENEW`, come something or not. */
const FLUSH = 200
const RENEW = 800
/** How often the replies of those who died, and those that wait, are looked for. */
const SWEEP = 2_000
/** How long replies may go on while the server closes. */
const LAST_WORDS = 8_000

/** A reply that this instance writes. */
interface Writing extends Place {
  /** What has come so far. */
  text: string
  /** How much of it is stored, in UTF-16 units as we count and in code points as Postgres does, and since when. */
  stored: { length: number, at: number, time: number }
  abort: AbortController
  done: Promise<void>
}

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
  const owner = randomUUID()
  const writing = new Map<string, Writing>()
  let isClosing = false
  let flushing: NodeJS.Timeout | undefined
  let sweeping: NodeJS.Timeout | undefined

  listener.subscribe(CHANNEL, abortIn)

  function abortIn (conversations: number[]) {
    for (const reply of writing.values()) if (conversations.includes(reply.conversation)) breakOff(reply, 'stopped')
  }

  function breakOff ({ abort }: Writing, reason: Reason) {
    abort.abort(reason)
  }

  /** Writes a reply whose lease is ours. */
  function write (place: Place) {
    const reply: Writing = { ...place, text: '', stored: { length: 0, at: 0, time: Date.now() }, abort: new AbortController(), done: Promise.resolve() }
    writing.set(keyOf(place), reply)
    reply.done = generate(reply)
    flushing ??= setTimeout(flush, FLUSH)
  }

  async function generate (reply: Writing) {
    const { conversation, id, abort: { signal } } = reply
    let usage: { promptTokens: number, completionTokens: number } | undefined
    let error: string | null = null
    try {
      const task = await store.task(reply)
      const bot = task && directory(task.bot)
      if (bot?.kind !== 'streaming') throw new Error('the bot is gone')
      for await (const piece of bot.reply(task!.turns, signal)) {
        if (signal.aborted) break
        if ('usage' in piece) usage = piece.usage
        else take(reply, piece.text)
      }
    } catch (cause) {
      error = (cause as { failure?: string }).failure ?? 'BOT_BROKE_OFF'
      if (!signal.aborted) log.warn({ err: cause, conversation, id }, 'a bot could not answer')
    }
    const reason = signal.aborted ? signal.reason as Reason : undefined
    const status = reason === undefined ? (error === null ? 'complete' : 'failed') : reason === 'stopped' ? 'stopped' : 'interrupted'
    if (reason !== 'lost') await end(reply, { status, error: reason === undefined ? error : null, usage })
    if (writing.get(keyOf(reply)) === reply) writing.delete(keyOf(reply))
    events.changed(conversation)
    if (!isClosing) await beginNext(conversation)
  }

  function take (reply: Writing, text: string) {
    if (text === '') return
    reply.text += text
    events.grew(reply)
  }

  /** Tried as long as the lease lasts; then it is for another instance to say how it ended. */
  async function end (reply: Writing, { status, error, usage }: { status: 'complete' | 'failed' | 'stopped' | 'interrupted', error: string | null, usage: { promptTokens: number, completionTokens: number } | undefined }) {
    const { conversation, id } = reply
    const ending = { ...growthOf(reply), status, error, promptTokens: usage?.promptTokens ?? null, completionTokens: usage?.completionTokens ?? null }
    for (let attempt = 1; ; attempt++) {
      try {
        return await store.finish(owner, ending)
      } catch (err) {
        log.warn({ err, conversation, id }, 'the end of a reply cannot be stored')
        if (attempt === 5) return
        await sleep(attempt * 500)
      }
    }
  }

  /** One statement for all replies under way: it stores what has come, and renews the leases. */
  async function flush () {
    const since = Date.now() - RENEW
    const due = [...writing.values()].filter(({ text, stored }) => text.length > stored.length || stored.time < since)
    if (due.length > 0) await storeAll(due).catch(err => log.warn({ err }, 'replies cannot be stored; it is tried again'))
    flushing = writing.size === 0 ? undefined : setTimeout(flush, FLUSH)
  }

  async function storeAll (due: Writing[]) {
    const sent = due.map(reply => ({ reply, ...growthOf(reply), length: reply.text.length }))
    const ours = new Map((await store.flush(owner, sent)).map(row => [keyOf(row), row]))
    for (const { reply, piece, length } of sent) {
      const row = ours.get(keyOf(reply))
      if (row === undefined) breakOff(reply, 'lost')
      else reply.stored = { length, at: reply.stored.at + [...piece].length, time: Date.now() }
      if (row?.isToStop) breakOff(reply, 'stopped')
    }
    events.stored(sent.filter(({ piece }) => piece !== ''))
  }

  const hasRoom = () => !isClosing && writing.size < most

  async function beginNext (conversation: number) {
    if (!hasRoom()) return
    try {
      const place = await store.begin(owner, conversation)
      if (place === undefined) return
      write(place)
      events.changed(conversation)
    } catch (err) {
      log.warn({ err, conversation }, 'the next reply cannot be begun; it is tried again')
    }
  }

  async function sweep () {
    try {
      for (const conversation of await store.interruptLapsed()) events.changed(conversation)
      if (hasRoom()) for (const conversation of await store.waiting(most - writing.size)) await beginNext(conversation)
    } catch (err) {
      log.warn({ err }, 'replies that were left cannot be looked for; it is tried again')
    }
    if (!isClosing) sweeping = setTimeout(sweep, SWEEP).unref()
  }

  return {
    write,

    /** Who would hold the lease of a reply that is begun now; null when there is no room, so that it waits. */
    owner: () => hasRoom() ? owner : null,

    /** Stops what is being said in a conversation, wherever it is written. @throws CONVERSATION_NOT_FOUND */
    async stop (user: number, conversation: number) {
      if (!await store.stop(user, conversation)) throw new CONVERSATION_NOT_FOUND()
      abortIn([conversation])
      events.changed(conversation)
      await listener.publish(CHANNEL, [conversation]).catch(err => log.warn({ err }, 'who writes is not told to stop, and sees it with the next flush'))
    },

    /** Asks again, in the row of the last reply. @throws MESSAGE_NOT_FOUND, BOT_BUSY, NOT_THE_LAST_REPLY */
    async regenerate (user: number, place: Place) {
      const became = await store.restart(user, place, hasRoom() ? owner : null)
      if (became === null) throw new MESSAGE_NOT_FOUND()
      if (became === 'busy') throw new BOT_BUSY()
      if (became === 'not last') throw new NOT_THE_LAST_REPLY()
      if (became === 'streaming') write(place)
      events.changed(place.conversation)
    },

    /** Asks again after the message that its author has changed, where a reply to it is the last one and can be had again. */
    async askAgain (user: number, place: Place) {
      const reply = await store.replyTo(place)
      if (reply !== undefined) await this.regenerate(user, reply).catch(unlessImpossible)
    },

    /** Looks for what others left, now and then, until it closes. */
    start () {
      sweeping = setTimeout(sweep, SWEEP).unref()
    },

    /** Begins nothing more, and lets the replies that are under way end, as long as that is not long. */
    async close () {
      isClosing = true
      clearTimeout(sweeping)
      const all = Promise.allSettled([...writing.values()].map(({ done }) => done))
      const patience = new AbortController()
      await Promise.race([all, sleep(LAST_WORDS, undefined, { signal: patience.signal }).catch(() => {})])
      patience.abort()
      for (const reply of writing.values()) breakOff(reply, 'interrupted')
      await all
    }
  }
}

const growthOf = ({ conversation, id, text, stored: { length, at } }: Writing): Growth => ({ conversation, id, at, piece: text.slice(length) })

const keyOf = ({ conversation, id }: Place) => `${conversation} ${id}`

function unlessImpossible (error: unknown) {
  if (!(error instanceof BOT_BUSY || error instanceof NOT_THE_LAST_REPLY)) throw error
}
