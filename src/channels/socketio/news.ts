import { setTimeout as sleep } from 'node:timers/promises'
import type { NewsItem, UserNews } from '../../conversations/news/news.ts'
import type { ConversationNews } from '../../conversations/news/schema.ts'
import { backlogOf, cutIfTooSlow, RESUME_BELOW_BYTES } from './backlog.ts'
import type { LiveSocket, SocketNews } from './events.ts'

/** Tells a socket the news of its user. */
export function createSocketNews (socket: LiveSocket, news: UserNews) {
  let stop: (() => void) | undefined
  /** Resolves when no join is in progress. */
  let joining: Promise<unknown> = Promise.resolve()
  socket.once('disconnect', () => stop?.())

  async function join (user: number, after: string | undefined) {
    stop?.()
    const listen = await news.begin(user, after)
    const { stop: stopNow, ...ready } = await listen({
      hear,
      reset: data => tell({ event: 'ready', data, cursor: data.cursor }),
      async drained () {
        while (socket.connected && backlogOf(socket) > RESUME_BELOW_BYTES) await sleep(20)
      },
      isOpen: () => socket.connected,
      inSlot: async read => await read() // the event has a slot
    })
    stop = stopNow
    if (!socket.connected) stop()
    return ready
  }

  function hear ({ event, json, cursor }: NewsItem) {
    const at = cursor === undefined ? {} : { cursor }
    if (event === 'gone') tell({ event, data: JSON.parse(json) as { id: number }, ...at })
    else tell({ event, data: JSON.parse(json) as ConversationNews, ...at })
  }

  function tell (item: SocketNews) {
    cutIfTooSlow(socket)
    socket.emit('news', item)
  }

  return {
    /** Sends what happened after a cursor, and then what happens. Joining again begins after another cursor. */
    async join (user: number, after: string | undefined) {
      const joined = joining.then(() => join(user, after))
      joining = joined.catch(() => { /* the caller of join_news gets the error */ })
      return await joined
    }
  }
}
