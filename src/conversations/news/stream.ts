import type { FastifyReply } from 'fastify'
import type { SessionUser } from '../../accounts/sessions.ts'
import { RECONNECT_AFTER_MS, type Sse } from '../live/sse.ts'
import type { NewsItem, UserNews } from './news.ts'
import type { NewsReady } from './schema.ts'

/**
 * A user's news as server-sent events: `conversation`, `gone`, and `ready` when everything after the reader's cursor was sent.
 * The cursor to come back with is the event id.
 */
export function createNewsStreams (sse: Sse, news: UserNews) {
  return {
    async send (reply: FastifyReply, user: SessionUser, cursor: string | undefined) {
      const listen = await news.begin(user.id, cursor)
      const { stream, beat, tell, drained, untilEnd, send } = sse.open(reply, user)
      let lastCursor: string | undefined
      let isFirst = true
      beat()
      listen({ hear, reset, drained, isOpen: () => stream.writable, inSlot: async read => await reply.inSlot(user.id, read) }).then(({ stop, ...ready }) => {
        if (!stream.writable) return stop()
        reset(ready)
        untilEnd(stop)
      }, () => stream.destroy()) // the reader comes back with its cursor
      return send()

      function hear ({ event, json, cursor }: NewsItem) {
        tell(block(event, json, cursor))
      }

      function reset (ready: NewsReady) {
        tell(block('ready', JSON.stringify(ready), ready.cursor))
      }

      /** The first event says when to reconnect. The id is left out while it stays the same. */
      function block (event: string, json: string, cursor = lastCursor) {
        const retry = isFirst ? `retry: ${RECONNECT_AFTER_MS}\n` : ''
        const id = cursor === lastCursor ? '' : `id: ${cursor}\n`
        isFirst = false
        lastCursor = cursor
        return `${retry}${id}event: ${event}\ndata: ${json}\n\n`
      }
    }
  }
}
