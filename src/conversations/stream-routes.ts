import { once } from 'node:events'
import { PassThrough, type Readable } from 'node:stream'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import type { Sessions } from '../accounts/sessions.js'
import { CONVERSATION_NOT_FOUND, UNAUTHORIZED } from '../errors.js'
import { answers, LOGGED_IN, Rev } from '../http/schema.js'
import type { Events } from './events.js'
import { CHANGES_AT_ONCE, type Change, type FeedStore } from './feed-store.js'
import { ConversationParams } from './schema.js'

export interface StreamRoutesOptions { sessions: Pick<Sessions, 'watch'>, events: Events, feeds: FeedStore }

/** A reader who has so much to read yet, in bytes, is too slow: it comes back and goes on from where it was. */
const BACKLOG = 1024 * 1024

/** Proxies take a connection on which nothing comes for dead. In milliseconds. */
const HEARTBEAT = 15_000

/** How long a reader who must go may take what is on its way, in milliseconds. */
const LAST_WORDS = 200

/**
 * A conversation as it happens, as server-sent events. The scope that registers it has authenticated `user`.
 * @see https://html.spec.whatwg.org/multipage/server-sent-events.html
 */
export const streamRoutes: FastifyPluginAsyncTypebox<StreamRoutesOptions> =
  async function streamRoutes (app, { sessions, events, feeds }) {
    const open = new Set<PassThrough>()
    app.addHook('preClose', async () => { for (const stream of open) stream.end() })

    app.get('/:id/events', Listen, async ({ user, params, query, headers, log }, reply) => {
      const { id: conversation } = params
      let after = headers['last-event-id'] ?? query.after ?? Number.MAX_SAFE_INTEGER
      let news = await read()
      after = Math.min(after, news.lastRev)

      const stream = new PassThrough()
      open.add(stream)
      const heartbeat = setInterval(() => stream.write(':\n\n'), HEARTBEAT).unref()
      const ends = [sessions.watch(user.sessionId, close), () => open.delete(stream), () => clearInterval(heartbeat)]
      stream.once('close', () => { for (const end of ends) end() })
      stream.write(':\n\n')
      catchUp().catch(error => {
        log.info({ err: error }, 'a stream ends: its reader comes back')
        stream.destroy()
      })
      return reply.type('text/event-stream').header('cache-control', 'no-store').header('x-accel-buffering', 'no').send(stream)

      /** What the reader has missed, as fast as it reads; then what happens, as it happens. */
      async function catchUp () {
        for (;;) {
          for (const change of news.changes) {
            if (!write(change)) await once(stream, 'drain')
            after = change.rev
          }
          if (news.changes.length < CHANGES_AT_ONCE) break
          news = await read()
        }
        if (stream.destroyed) return
        ends.push(events.follow(conversation, {
          user: user.id,
          after,
          hear (change) {
            write(change)
            if (stream.writableLength + stream.readableLength > BACKLOG) stream.destroy()
          },
          leave: close
        }))
      }

      /** In good order, if the reader takes what is left in time. */
      function close () {
        stream.end()
        setTimeout(() => stream.destroy(), LAST_WORDS).unref()
      }

      async function read () {
        const [news] = await feeds.news([{ conversation, after }])
        if (!news?.members.has(user.id)) throw new CONVERSATION_NOT_FOUND()
        return news
      }

      function write ({ author, clientId, ...message }: Change) {
        return stream.write(`id: ${message.rev}\nevent: message\ndata: ${JSON.stringify(message)}\n\n`)
      }
    })
  }

const EventStream = Type.Unsafe<Readable>({ description: 'The stream', content: { 'text/event-stream': { schema: { type: 'string' } } } })

const Listen = {
  exposeHeadRoute: false,
  schema: {
    tags: ['messages'],
    security: LOGGED_IN,
    summary: 'A conversation as it happens, as server-sent events',
    description: 'Each `message` event is a whole message, new or changed, its id the message\'s `rev`. With `Last-Event-ID`, or `after`, ' +
      'all that changed after that rev comes first; without, what happens from now on.',
    params: ConversationParams,
    querystring: Type.Object({ after: Type.Optional(Rev) }),
    headers: Type.Object({ 'last-event-id': Type.Optional(Rev) }),
    response: answers({ 200: EventStream }, [UNAUTHORIZED, CONVERSATION_NOT_FOUND])
  }
}
