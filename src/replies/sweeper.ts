import type { FastifyBaseLogger } from 'fastify'
import type { Events } from '../log/followers.ts'
import type { MessageKey, ReplyStore, Spent } from './store.ts'

const SWEEP_EVERY_MS = 2_000

export interface SweeperOptions {
  store: Pick<ReplyStore, 'lapsed' | 'interrupt' | 'waiting'>
  events: Pick<Events, 'changed'>
  log: Pick<FastifyBaseLogger, 'warn'>
  spent: ((spent: Spent) => void) | undefined
  /** How many more replies may be begun here. */
  room: () => number
  /** Begins the next reply of a conversation. */
  beginNext: (conversation: number) => Promise<void>
}

/** Ends the replies of instances that died, and begins replies that were queued because no instance had a free place. Looks every SWEEP_EVERY_MS. */
export function createSweeper ({ store, events, log, spent, room, beginNext }: SweeperOptions) {
  let timer: NodeJS.Timeout | undefined
  let isOver = false
  /**
   * While the database was unavailable, the leases of all replies have expired, also of those whose instances live. One sweep is left
   * out then, so that the instances can renew them first.
   */
  let wasAway = false

  async function sweep () {
    try {
      const lapsed = await store.lapsed()
      if (!wasAway) for (const place of lapsed) await interrupt(place)
      wasAway = false
      if (room() > 0) for (const conversation of await store.waiting(room())) await beginNext(conversation)
    } catch (err) {
      wasAway = true
      log.warn({ err }, 'Abandoned replies cannot be looked for; trying again soon')
    }
    if (!isOver) timer = setTimeout(sweep, SWEEP_EVERY_MS).unref()
  }

  /** Does not throw: a reply that cannot be ended, because its conversation stays locked, must not keep the others waiting. */
  async function interrupt ({ conversation, id }: MessageKey) {
    try {
      const added = await store.interrupt({ conversation, id })
      if (added !== undefined) spent?.(added)
      events.changed(conversation)
    } catch (err) {
      log.warn({ err, conversation, id }, 'An abandoned reply cannot be ended; trying again soon')
    }
  }

  return {
    start () {
      timer = setTimeout(sweep, SWEEP_EVERY_MS).unref()
    },

    stop () {
      isOver = true
      clearTimeout(timer)
    }
  }
}
