import type { Listener } from '../db/listener.ts'
import { createPoller } from '../db/poller.ts'

/** How often open sockets and streams are checked, so that they close within a second even if a notification was lost. */
const POLL_INTERVAL_MS = 500

/**
 * Closes the sockets and streams of a session, or of a server key, when it ends. This happens at once when the end is announced,
 * and within a second if it has expired or the announcement was lost.
 * @param channel on which instances announce ends to each other
 * @param findAlive returns those of the given ids that are still valid
 */
export function createWatch (channel: 'sessions' | 'server_keys', listener: Pick<Listener, 'publish' | 'subscribe'>, findAlive: (ids: number[]) => Promise<number[]>) {
  const open = new Map<number, Set<() => void>>()
  const poller = createPoller(POLL_INTERVAL_MS, async () => {
    await look([...open.keys()])
    return open.size > 0
  })

  listener.subscribe(channel, look)

  async function look (which: number[]) {
    const ids = which.filter(id => open.has(id))
    if (ids.length === 0) return
    // While the database is unreachable, we cannot know. The next check will.
    const alive = new Set(await findAlive(ids).catch(() => ids))
    for (const id of ids) if (!alive.has(id)) for (const end of [...open.get(id) ?? []]) end()
  }

  return {
    /** Calls `end` when the session, or the key, of this id ends. Returns a function that stops watching. */
    watch (id: number, end: () => void) {
      const ends = open.get(id) ?? new Set()
      open.set(id, ends.add(end))
      poller.start()
      return function forget () {
        ends.delete(end)
        if (ends.size === 0 && open.get(id) === ends) open.delete(id)
      }
    },

    /** Tells every instance that these have ended. */
    async announce (ids: number[]) {
      look(ids)
      await listener.publish(channel, ids).catch(() => { /* the other instances find out by polling */ })
    }
  }
}
