import type { FastifyBaseLogger, FastifyReply } from 'fastify'
import type { SessionUser, Sessions } from '../../accounts/sessions.ts'
import type { Delta, Events, Follower } from '../../log/followers.ts'
import { createEndings, isUnderWay } from './endings.ts'
import { heardIn, type Change, type FeedStore, type News } from '../../log/feed-store.ts'
import type { Message } from '../../log/message.ts'
import { RECONNECT_AFTER_MS, type Sse } from './sse.ts'

export type Streams = ReturnType<typeof createStreams>

export interface Listening {
  user: SessionUser
  conversation: number
  /** The rev after which the stream begins. Left out: the current one. */
  after?: number | undefined
  /** Messages to begin with; the stream ends when their replies have ended. Left out: it stays open. */
  until?: Message[]
  /** Writes the stream in another protocol. Left out: as `createStreams` describes. */
  wire?: Wire
}

/** Writes events in another protocol over server-sent events. An empty text sends nothing. */
export interface Wire {
  /** Additional headers of the response. */
  headers: Record<string, string>
  /** Sent first, at once. Left out: nothing. */
  begin?: string
  message: (message: Message) => string
  delta: (delta: Delta) => string
  /** Sent before the server closes a stream whose replies have not ended. */
  broken: string
}

/**
 * Live conversations as server-sent events: `message`, a new or changed message with its rev as the event's id, and
 * `delta`, a piece of a growing reply. Every block has data.
 * @see https://html.spec.whatwg.org/multipage/server-sent-events.html
 */
export function createStreams (sse: Sse, events: Events, feeds: FeedStore, sessions: Pick<Sessions, 'watch'>) {
  const endings = createEndings(events, sessions)

  return {
    /** @throws CONVERSATION_NOT_FOUND, before anything is sent */
    async send (reply: FastifyReply, { user, conversation, after, until, wire }: Listening, log: FastifyBaseLogger) {
      const from = after ?? Number.MAX_SAFE_INTEGER
      const first = newsIn(conversation, until) ?? await feeds.newsFor(user.id, conversation, from)
      const { stream, beat, say, tell, close, drained, untilEnd, send } = sse.open(reply, user, { headers: wire?.headers, lastWords: wire?.broken })
      const awaited = new Set(until?.filter(isUnderWay).map(({ id }) => id))
      let lastId = Math.min(from, first.lastRev)
      // A stream that answers a POST must not be resumed: fetch-event-source would send the message again.
      const canResume = until === undefined
      let isFirst = true
      if (canResume) beat()
      catchUp(first).catch(fail)
      return send()

      /** Sends what the reader has missed, as fast as it reads, and then what happens live. */
      async function catchUp (news: News) {
        let after = lastId
        if (wire?.begin !== undefined) {
          say(wire.begin)
          await drained()
        }
        while (news.more) {
          await writeAll(news.changes)
          after = news.changes.at(-1)!.rev
          news = await reply.inSlot(user.id, async () => await feeds.newsFor(user.id, conversation, after))
          if (!stream.writable) return
        }
        const follower: Follower = { user: user.id, after: news.changes.at(-1)?.rev ?? after, heard: heardIn(news), hear: orFail(hear), grow: orFail(grow), leave: close }
        await writeAll([...news.streaming, ...news.changes])
        if (until !== undefined && awaited.size === 0) stream.end()
        if (stream.writable) untilEnd(events.follow(conversation, follower))
      }

      /** An error in the protocol of one reader ends that reader's stream. Thrown on, it would fail the reply that is being written, or keep changes from other readers. */
      function orFail<Event> (write: (event: Event) => void) {
        return (event: Event) => {
          if (stream.destroyed) return
          try {
            write(event)
          } catch (error) {
            fail(error)
          }
        }
      }

      function fail (error: unknown) {
        log.info({ err: error }, 'A stream ended because of an error; its reader will reconnect')
        stream.destroy()
      }

      async function writeAll (changes: Change[]) {
        for (const change of changes) {
          hear(change)
          await drained()
        }
      }

      /** Sends no event id for a message older than what the reader has, or Last-Event-ID would move backwards. */
      function hear ({ author, clientId, ...message }: Change) {
        const isNews = message.rev > lastId
        if (isNews) lastId = message.rev
        tell(wire?.message(message) ?? block('message', message, isNews))
        if (!isUnderWay(message) && awaited.delete(message.id) && awaited.size === 0) stream.end()
      }

      function grow (delta: Delta) {
        tell(wire?.delta(delta) ?? block('delta', delta, false))
      }

      /** The first event says when to reconnect and, if the reader named no rev, from which rev. */
      function block (event: 'message' | 'delta', data: object, isNews: boolean) {
        const retry = canResume && isFirst ? `retry: ${RECONNECT_AFTER_MS}\n` : ''
        const id = canResume && (isNews || (isFirst && after === undefined)) ? `id: ${lastId}\n` : ''
        isFirst = false
        return `${retry}${id}event: ${event}\ndata: ${JSON.stringify(data)}\n\n`
      }
    },

    ended: endings.ended,

    /** How many streams are open. */
    count: sse.count,

    /** Ends all streams and all waits for replies. Clients reconnect to another instance. */
    close () {
      endings.close()
      sse.close()
    }
  }
}

/** Messages that were just stored, with consecutive revs, can be sent without reading them from the database. */
function newsIn (conversation: number, messages: Message[] = []): News | undefined {
  const revs = messages.map(({ rev }) => rev)
  if (messages.length === 0 || revs.some((rev, nth) => rev !== revs[0]! + nth)) return undefined
  const changes = messages.map(message => ({ ...message, author: null, clientId: null }))
  return { conversation, lastRev: revs.at(-1)!, members: new Set(), changes, more: false, streaming: [] }
}
