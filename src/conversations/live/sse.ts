import { once } from 'node:events'
import { PassThrough } from 'node:stream'
import type { FastifyReply } from 'fastify'
import type { SessionUser, Sessions } from '../../accounts/sessions.ts'
import { UNAVAILABLE } from '../../errors.ts'

/**
 * A reader with a larger backlog is too slow and is disconnected. It reconnects and continues where it was. One event may be larger,
 * so the backlog is measured before an event is sent: otherwise such an event would never reach anybody.
 */
const MAX_BACKLOG_BYTES = 1024 * 1024

/** How often a comment is sent, because proxies close idle connections. */
const HEARTBEAT_INTERVAL_MS = 15_000

/**
 * A comment of one line, which is part of the block that follows. With an empty line behind it, or as a block of `id` and
 * `retry` alone, `@microsoft/fetch-event-source` would report a message without data; clients fail when they parse that,
 * and the library then sends the request again.
 */
export const COMMENT = ':\n'

/**
 * Proxies must not hold events back. Those that compress, such as a front end's server in Node.js, collect a response until it ends, unless
 * `no-transform` forbids them to compress it.
 */
export const STREAM_HEADERS = { 'cache-control': 'no-store, no-transform', 'x-accel-buffering': 'no' }

/** How long a closing stream waits for its reader to take what was already sent. */
const CLOSE_TIMEOUT_MS = 200

/** When a disconnected reader should reconnect. */
export const RECONNECT_AFTER_MS = 1_000

export type Sse = ReturnType<typeof createSse>

/** Responses that are server-sent events: they end with their session, and when the server closes. */
export function createSse (sessions: Pick<Sessions, 'watch'>) {
  const all = new Set<() => void>()
  let isClosing = false

  return {
    /**
     * Opens a stream. `lastWords` is sent before the server closes it.
     * @throws UNAVAILABLE when the server is closing
     */
    open (reply: FastifyReply, user: SessionUser, { headers = {}, lastWords = '' }: { headers?: Record<string, string> | undefined, lastWords?: string | undefined } = {}) {
      if (isClosing) throw new UNAVAILABLE()
      reply.leaveSlot()
      const stream = new PassThrough()
      const heartbeat = setInterval(beat, HEARTBEAT_INTERVAL_MS).unref()
      const ends = [sessions.watch(user.sessionId, close), () => all.delete(close), () => clearInterval(heartbeat)]
      all.add(close)
      stream.once('close', end)

      return {
        stream,
        beat,
        say,
        tell,
        close,

        /** Resolves when the reader has taken most of what was sent, or has left. */
        async drained () {
          if (stream.writableNeedDrain) await once(stream, 'drain')
        },

        /** Calls `stop` when the stream ends. If the server is closing, the stream ends now. */
        untilEnd (stop: () => void) {
          ends.push(stop)
          /* c8 ignore next -- takes a server that closes while a reader catches up */
          if (isClosing) close()
        },

        /** Begins the response. */
        send: () => reply.type('text/event-stream').headers({ ...STREAM_HEADERS, ...headers }).send(stream)
      }

      /** Sends a comment, which sends the headers too, even if nothing has happened yet. */
      function beat () {
        say(COMMENT)
      }

      function tell (text: string) {
        if (stream.writableLength + stream.readableLength > MAX_BACKLOG_BYTES) stream.destroy()
        say(text)
      }

      function say (text: string) {
        if (stream.writable) stream.write(text)
      }

      function end () {
        for (const each of ends.splice(0)) each()
      }

      /** Ends the stream; destroys it if the reader does not take the rest in time. */
      function close () {
        say(lastWords)
        end()
        stream.end()
        setTimeout(() => stream.destroy(), CLOSE_TIMEOUT_MS).unref()
      }
    },

    /** How many streams are open. */
    count: () => all.size,

    /** Ends all streams. Clients reconnect to another instance. */
    close () {
      isClosing = true
      for (const end of [...all]) end()
    }
  }
}
