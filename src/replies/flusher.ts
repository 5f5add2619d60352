import { AsyncResource } from 'node:async_hooks'
import type { FastifyBaseLogger } from 'fastify'
import { wasRefused } from '../db/client.ts'
import { lengthsOf } from '../log/feed-store.ts'
import type { Events } from '../log/followers.ts'
import { growthOf, hasGrown, noteStored, type Draft } from './draft.ts'
import type { ReplyStore } from './store.ts'
import type { Reason } from './writer.ts'

/** How often growing replies are stored. */
const FLUSH_EVERY_MS = 200

/**
 * How often the lease of 8 s is renewed, even if the reply has not grown. At the latest then a stop request is noticed,
 * also when the bot is silent and the notification was lost.
 */
const RENEW_EVERY_MS = 500

export interface FlusherOptions {
  store: Pick<ReplyStore, 'flush'>
  events: Pick<Events, 'stored'>
  log: Pick<FastifyBaseLogger, 'warn'>
}

/** Stores the drafts of this instance as they grow, together, and aborts those that were asked to stop. */
export function createFlusher ({ store, events, log }: FlusherOptions) {
  /** The drafts by the owner of their lease. */
  const drafts = new Map<string, Draft>()
  let isFlushing = false
  let timer: NodeJS.Timeout | undefined
  const flushAll = AsyncResource.bind(flush) // detached from the request that starts it, so that tracing does not attribute later flushes to that request

  async function flush () {
    isFlushing = true
    const since = performance.now() - RENEW_EVERY_MS
    const due = [...drafts.values()].filter(draft => draft.isHurried || hasGrown(draft) || draft.stored.time < since)
    for (const draft of due) draft.isHurried = false
    if (due.length > 0) await storeAll(due).catch(err => wasRefused(err) ? storeOneByOne(due) : warn(err))
    isFlushing = false
    if (drafts.size > 0) flushIn(FLUSH_EVERY_MS)
    else timer = undefined
  }

  function flushIn (milliseconds: number) {
    clearTimeout(timer)
    timer = setTimeout(flushAll, milliseconds)
  }

  async function storeAll (due: Draft[]) {
    const sent = due.map(draft => ({ draft, ...growthOf(draft), length: draft.text.length, thoughts: draft.thoughts.length, cost: draft.meter?.news() ?? null }))
    const ours = new Map((await store.flush(sent)).map(row => [row.owner, row]))
    for (const { draft, piece, length, thoughts, cost } of sent) {
      const row = ours.get(draft.owner)
      // If the end was stored in the meantime, the lease is not lost but given back.
      if (row === undefined && !draft.isEnding) breakOff(draft, 'lost')
      if (row !== undefined) noteStored(draft, { piece, length, thoughts, cost })
      if (row?.isToStop) breakOff(draft, 'stopped')
    }
    const grown = sent.filter(({ piece, parts }) => piece !== '' || parts !== null)
    events.stored(grown.map(({ conversation, id, length, parts }) => ({ conversation, id, lengths: parts === null ? [length] : lengthsOf({ text: '', parts }) })))
  }

  /** One draft that the database refuses must not keep the others from being stored. Its own lease is not renewed, and lapses. */
  async function storeOneByOne (due: Draft[]) {
    for (const draft of due) await storeAll([draft]).catch(warn)
  }

  function warn (err: unknown) {
    log.warn({ err }, 'Growing replies cannot be stored; trying again soon')
  }

  return {
    add (draft: Draft) {
      drafts.set(draft.owner, draft)
      if (!isFlushing) timer ??= setTimeout(flushAll, FLUSH_EVERY_MS)
    },

    remove ({ owner }: Draft) {
      drafts.delete(owner)
    },

    /**
     * Checks at once whether replies in these conversations were asked to stop. Their rows say so: a reply that began
     * after the request goes on.
     */
    hurry (conversations: number[]) {
      const meant = [...drafts.values()].filter(({ conversation }) => conversations.includes(conversation))
      for (const draft of meant) draft.isHurried = true
      if (meant.length > 0 && !isFlushing) flushIn(0)
    },

    breakOffAll (reason: Reason) {
      for (const draft of drafts.values()) breakOff(draft, reason)
    },

    count: () => drafts.size
  }
}

export function breakOff ({ abort }: Draft, reason: Reason) {
  abort.abort(reason)
}
