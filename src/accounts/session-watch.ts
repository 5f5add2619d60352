import { AsyncResource } from 'node:async_hooks'
import type { Listener } from '../db/listener.js'

const CHANNEL = 'sessions'

/** How often what is open looks for itself, in milliseconds: it closes within a second, also when no word reaches it. */
const EVERY = 500

/**
 * Tells what stays open (a socket, a stream) that its session has ended: at once when the ending is announced, and
 * within a second in any case, expiry and lost announcements included.
 * @param findAlive of these sessions those that are alive
 */
export function createWatch (listener: Pick<Listener, 'publish' | 'subscribe'>, findAlive: (ids: number[]) => Promise<number[]>) {
  const open = new Map<number, Set<() => void>>()
  let timer: NodeJS.Timeout | undefined
  const lookForAll = AsyncResource.bind(lookNowAndThen) // it is no part of the request that happened to begin it

  listener.subscribe(CHANNEL, look)

  async function look (which: number[]) {
    const ids = which.filter(id => open.has(id))
    if (ids.length === 0) return
    // Nobody can tell while the database is away: the next look does.
    const alive = new Set(await findAlive(ids).catch(() => ids))
    for (const id of ids) if (!alive.has(id)) for (const end of [...open.get(id) ?? []]) end()
  }

  async function lookNowAndThen () {
    await look([...open.keys()])
    timer = open.size === 0 ? undefined : setTimeout(lookForAll, EVERY).unref()
  }

  return {
    /** Calls `end` when the session ends; gives a function that forgets it. */
    watch (sessionId: number, end: () => void) {
      const ends = open.get(sessionId) ?? new Set()
      open.set(sessionId, ends.add(end))
      timer ??= setTimeout(lookForAll, EVERY).unref()
      return function forget () {
        ends.delete(end)
        if (ends.size === 0 && open.get(sessionId) === ends) open.delete(sessionId)
      }
    },

    /** Says on every instance that these sessions have ended. A lost word costs less than a second. */
    async announce (ids: number[]) {
      look(ids)
      await listener.publish(CHANNEL, ids).catch(() => { /* whoever watches looks for himself */ })
    }
  }
}
