import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { NOT_FOR_GUESTS, UNAUTHORIZED } from '../errors.js'
import { linkNext } from '../http/paging.js'
import { answers, LOGGED_IN, Nullable, PageQuery } from '../http/schema.js'
import type { UsageStore } from './usage-store.js'

/** What one's questions to bots cost, in tokens. The scope that registers it has authenticated `user`. */
export const usageRoutes: FastifyPluginAsyncTypebox<{ usage: UsageStore }> =
  async function usageRoutes (app, { usage }) {
    app.get('/usage', Usage, async (request, reply) => {
      const { user, query: { limit, before } } = request
      const { page, hasMore } = await usage.byDay(user.id, { limit, before })
      if (hasMore) linkNext(request, reply, { before: page.at(-1)!.day })
      return page
    })
  }

const Day = Type.String({ pattern: '^\\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\\d|3[01])$' })
const Tokens = Type.Integer({ minimum: 0 })

const Usage = {
  schema: {
    summary: 'What the replies to this account cost in tokens, by day (UTC) and bot, newest first',
    tags: ['profile'],
    security: LOGGED_IN,
    querystring: Type.Object({
      limit: PageQuery.properties.limit,
      before: Type.Optional(Type.String({ ...Day, description: 'The days before this one' }))
    }),
    response: answers({
      200: Type.Array(Type.Object({
        day: Day, bot: Nullable(Type.String()), replies: Tokens, prompt_tokens: Tokens, completion_tokens: Tokens
      }))
    }, [UNAUTHORIZED, NOT_FOR_GUESTS])
  }
}
