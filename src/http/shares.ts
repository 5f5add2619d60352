import fp from 'fastify-plugin'
import type { FastifyReply } from 'fastify'
import type { Config } from '../config.ts'
import { TOO_MANY_STREAMS } from '../errors.ts'
import { addressOf } from './address.ts'
import { createOpenCount } from './open-count.ts'
import { wantsStream } from './schema.ts'
import { createSlots } from './slots.ts'
import { whenOver } from './when-over.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Answers with an event stream: always, or when `Accept` asks for one. */
    stream?: 'always' | 'asked'
  }
  interface FastifyInstance {
    /** Takes one of a user's slots for work that is not a request, such as an event of a socket. @throws TOO_MANY_AT_ONCE */
    enterSlot: ReturnType<typeof createSlots>['enter']
  }
  interface FastifyReply {
    /** Waits for one of the user's slots for this request. The slot becomes free when the request is over. @throws TOO_MANY_AT_ONCE */
    takeSlot: (userId: number) => Promise<void>
    /** Counts the response as an open event stream of the user. @throws TOO_MANY_STREAMS */
    takeStream: (userId: number) => void
    /** Frees the slot early, before the request waits for a bot or becomes a stream: neither uses a database connection. */
    leaveSlot: () => void
    /** Does work for a stream that has begun in one of the user's slots, since a user may have many streams that catch up at the same time. */
    inSlot: <T>(userId: number, work: () => Promise<T>) => Promise<T>
  }
}

/**
 * Limits the requests and event streams that one user or one address may have at the same time, so that one user cannot use up
 * the server. Checked as soon as the user is known, before the body is read or anything is stored.
 */
export const shares = fp<{ config: Config }>(async function shares (app, { config }) {
  const hasLimits = config.RATE_LIMITS === 'on'
  const slots = createSlots(config.REQUESTS_PER_USER)
  const streamsOfUser = createOpenCount(config.STREAMS_PER_USER)
  const streamsOfAddress = createOpenCount(config.STREAMS_PER_ADDRESS)

  app.decorate('enterSlot', hasLimits ? slots.enter : () => ({ ready: Promise.resolve(), leave () {} }))
  app.decorateReply('leaveSlot', () => {})
  app.decorateReply('takeSlot', async function takeSlot (this: FastifyReply, userId: number) {
    const { ready, leave } = app.enterSlot(userId)
    this.leaveSlot = leave
    whenOver(this, leave)
    closeIfStalled(this, config.REQUEST_TIMEOUT * 1000)
    await ready
  })

  app.decorateReply('inSlot', async function inSlot (userId, work) {
    const { ready, leave } = app.enterSlot(userId, { isPatient: true })
    try {
      await ready
      return await work()
    } finally {
      leave()
    }
  })

  app.decorateReply('takeStream', function takeStream (this: FastifyReply, userId: number) {
    if (!hasLimits) return
    count(streamsOfUser, String(userId), this)
    count(streamsOfAddress, addressOf(this.request), this)
  })

  if (!hasLimits) return
  app.addHook('preParsing', async (request, reply) => {
    // No user is logged in. Routes that were registered before `authentication`, such as /docs, do not even have the field.
    if (!(request.user as unknown)) return
    const { stream } = request.routeOptions.config
    if (stream === 'always' || (stream === 'asked' && wantsStream(request.headers))) reply.takeStream(request.user.id)
    await reply.takeSlot(request.user.id)
  })
})

/**
 * Closes the connection when the client has taken nothing of what is ready to be sent for this many milliseconds. A phone that lost its
 * network in the middle of a large page would otherwise keep the user's slot until TCP gives up, after a quarter of an hour.
 */
function closeIfStalled ({ raw, request: { raw: { socket } } }: FastifyReply, ms: number) {
  raw.setTimeout(ms, () => { if (socket.writableLength > 0) socket.destroy() })
}

function count (streams: ReturnType<typeof createOpenCount>, key: string, reply: FastifyReply) {
  const remove = streams.add(key)
  if (remove === undefined) throw new TOO_MANY_STREAMS()
  whenOver(reply, remove)
}
