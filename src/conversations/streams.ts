import { once } from 'node:events'
import { PassThrough } from 'node:stream'
import type { FastifyBaseLogger, FastifyReply } from 'fastify'
import type { SessionUser, Sessions } from '../accounts/sessions.js'
import { CONVERSATION_NOT_FOUND, UNAVAILABLE } from '../errors.js'
import type { Delta, Events, Follower } from './events.js'
import { heardIn, type Change, type FeedStore, type News } from './feed-store.js'
import type { Message } from './schema.js'

/** A reader who has so much to read yet, in bytes, is too slow: it comes back and goes on from where it was. */
const BACKLOG = 1024 * 1024

/** Proxies take a connection on which nothing comes for dead. In milliseconds. */
const HEARTBEAT = 15_000

/** How long a reader who must go may take what is on its way, in milliseconds. */
const LAST_WORDS = 200

export type Streams = ReturnType<typeof createStreams>

export interface Listening {
  user: SessionUser
  conversation: number
  /** The rev from which on; left out: from now on. */
  after?: number | undefined
  /** What the stream begins with, and the replies after whose end it ends; left out: it goes on. */
  until?: Message[]
}

const isUnderWay = ({ status }: Pick<Message, 'status'>) => status === 'streaming' || status === 'queued'

/**
 * Conversations as they happen, as server-sent events: `message`, a whole message, new or changed, its rev as the
 * event's id, and `delta`, by which a reply grows.
 * @see https://html.spec.whatwg.org/multipage/server-sent-events.html
 */
export function createStreams (sessions: Pick<Sessions, 'watch'>, events: Events, feeds: FeedStore) {
  const open = new Set<() => void>()
  const waiting = new Set<() => void>()
  let isClosing = false

  return {
    /** @throws CONVERSATION_NOT_FOUND, before anything is sent */
    async send (reply: FastifyReply, { user, conversation, after: from = Number.MAX_SAFE_INTEGER, until }: Listening, log: FastifyBaseLogger) {
      const first = newsIn(conversation, until) ?? await feeds.newsFor(user.id, conversation, from)
      if (isClosing) throw new UNAVAILABLE()
      const stream = new PassThrough()
      const awaited = new Set(until?.filter(isUnderWay).map(({ id }) => id))
      const heartbeat = setInterval(() => say(':\n\n'), HEARTBEAT).unref()
      let lastId = Math.min(from, first.lastRev)
      const ends = [sessions.watch(user.sessionId, close), () => open.delete(close), () => clearInterval(heartbeat)]
      open.add(close)
      stream.once('close', end)
      say(`retry: 1000\nid: ${lastId}\n\n`)
      catchUp(first).catch(error => {
        log.info({ err: error }, 'a stream ends: its reader comes back')
        stream.destroy()
      })
      // A connection that is kept for another request would hold up a server that closes.
      reply.raw.once('finish', () => { if (isClosing) reply.request.raw.socket.end() })
      return reply.type('text/event-stream').header('cache-control', 'no-store').header('x-accel-buffering', 'no').send(stream)

      /** What the reader has missed, as fast as it reads; then what happens, as it happens. */
      async function catchUp (news: News) {
        let after = lastId
        while (news.more) {
          await writeAll(news.changes)
          after = news.changes.at(-1)!.rev
          news = await feeds.newsFor(user.id, conversation, after)
          if (!stream.writable) return
        }
        const follower: Follower = { user: user.id, after: news.changes.at(-1)?.rev ?? after, heard: heardIn(news), hear, grow, leave: close }
        await writeAll([...news.streaming, ...news.changes])
        if (until !== undefined && awaited.size === 0) stream.end()
        if (stream.writable) ends.push(events.follow(conversation, follower))
        /* c8 ignore next -- takes a server that closes while a reader catches up */
        if (isClosing) close()
      }

      async function writeAll (changes: Change[]) {
        for (const change of changes) {
          hear(change)
          if (stream.writableNeedDrain) await once(stream, 'drain')
        }
      }

      /** An older message, which is shown again since it still grows, takes nobody back to where it was. */
      function hear ({ author, clientId, ...message }: Change) {
        const isNews = message.rev > lastId
        if (isNews) lastId = message.rev
        write(`${isNews ? `id: ${lastId}\n` : ''}event: message\n`, message)
        if (!isUnderWay(message) && awaited.delete(message.id) && awaited.size === 0) stream.end()
      }

      function grow (delta: Delta) {
        write('event: delta\n', delta)
      }

      function write (head: string, data: object) {
        say(`${head}data: ${JSON.stringify(data)}\n\n`)
        if (stream.writableLength + stream.readableLength > BACKLOG) stream.destroy()
      }

      function say (text: string) {
        if (stream.writable) stream.write(text)
      }

      function end () {
        for (const each of ends.splice(0)) each()
      }

      /** In good order, if the reader takes what is left in time. */
      function close () {
        end()
        stream.end()
        setTimeout(() => stream.destroy(), LAST_WORDS).unref()
      }
    },

    /**
     * Waits until no reply among these is under way any more, and gives all as they are then.
     * @throws CONVERSATION_NOT_FOUND for who is not in the conversation any more, UNAVAILABLE when the server closes first
     */
    async ended (user: number, conversation: number, messages: Message[]): Promise<Message[]> {
      const known = new Map(messages.map(message => [message.id, message]))
      const haveEnded = () => ![...known.values()].some(isUnderWay)
      if (haveEnded()) return messages
      const after = Math.max(...messages.map(({ rev }) => rev))
      const { promise, resolve, reject } = withResolvers()
      const follower = { user, after, hear, leave: () => reject(new CONVERSATION_NOT_FOUND()) }
      const unfollow = events.follow(conversation, follower)
      waiting.add(giveUp)
      /* c8 ignore next -- takes a message that is answered in the moment in which the server closes */
      if (isClosing) giveUp()
      await promise.finally(() => {
        unfollow()
        waiting.delete(giveUp)
      })
      return [...known.values()]

      function hear ({ author, clientId, ...message }: Change) {
        if (known.has(message.id)) known.set(message.id, message)
        if (haveEnded()) resolve()
      }

      function giveUp () {
        reject(new UNAVAILABLE())
      }
    },

    /** How many read a stream. */
    count: () => open.size,

    /** Ends all streams, and whatever waits for a reply's end; the readers come back to another instance. */
    close () {
      isClosing = true
      for (const end of [...open, ...waiting]) end()
    }
  }
}

/** Of messages just stored, without a gap, nothing needs to be read before the first word can be sent. */
function newsIn (conversation: number, messages: Message[] = []): News | undefined {
  const revs = messages.map(({ rev }) => rev)
  if (messages.length === 0 || revs.some((rev, nth) => rev !== revs[0]! + nth)) return undefined
  const changes = messages.map(message => ({ ...message, author: null, clientId: null }))
  return { conversation, lastRev: revs.at(-1)!, members: new Set(), changes, more: false, streaming: [] }
}

function withResolvers () {
  let resolve!: () => void
  let reject!: (reason: Error) => void
  const promise = new Promise<void>((...how) => { [resolve, reject] = how })
  return { promise, resolve, reject }
}
