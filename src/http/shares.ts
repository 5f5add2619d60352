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
    /** A place among what is worked on for a user, for work that no request brought. @throws TOO_MANY_AT_ONCE */
    enterSlot: ReturnType<typeof createSlots>['enter']
  }
  interface FastifyReply {
    /** Waits for a place among what is worked on for a user; the place is free again when the request is over. @throws TOO_MANY_AT_ONCE */
    takeSlot: (userId: number) => Promise<void>
    /** Counts the response as an open event stream of the user. @throws TOO_MANY_STREAMS */
    takeStream: (userId: number) => void
    /** Frees that place, before the request waits for a bot or becomes a stream: neither holds a database connection. */
    leaveSlot: () => void
  }
}

/**
 * What one user, or one address, may have under way or open at once, so that something is left for all others. This is
 * checked as soon as it is known who asks, before a body is read or anything is stored.
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
    await ready
  })

  app.decorateReply('takeStream', function takeStream (this: FastifyReply, userId: number) {
    if (!hasLimits) return
    count(streamsOfUser, String(userId), this)
    count(streamsOfAddress, addressOf(this.request), this)
  })

  if (!hasLimits) return
  app.addHook('preParsing', async (request, reply) => {
    // Nobody has logged in, or the route, such as /docs, was registered before anybody could.
    if (!(request.user as unknown)) return
    const { stream } = request.routeOptions.config
    if (stream === 'always' || (stream === 'asked' && wantsStream(request.headers))) reply.takeStream(request.user.id)
    await reply.takeSlot(request.user.id)
  })
})

function count (streams: ReturnType<typeof createOpenCount>, key: string, reply: FastifyReply) {
  const remove = streams.add(key)
  if (remove === undefined) throw new TOO_MANY_STREAMS()
  whenOver(reply, remove)
}
