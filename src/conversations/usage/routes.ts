import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { INVALID_CURSOR, NOT_AN_ADMIN, NOT_FOR_GUESTS, UNAUTHORIZED } from '../../errors.ts'
import { cutPage, linkNext } from '../../http/paging.ts'
import { answers, Id, isDay, LOGGED_IN, Nullable, PageQuery } from '../../http/schema.ts'
import type { UsagePlace, UsageStore } from './store.ts'

/** The tokens that replies to the user cost. The scope that registers it has authenticated `user`. */
export const usageRoutes: FastifyPluginAsyncTypebox<{ usage: UsageStore }> =
  async function usageRoutes (app, { usage }) {
    app.get('/usage', Usage, async (request, reply) => {
      const { user, query: { limit, before } } = request
      const { page, hasMore } = await usage.byDay(user.id, { limit, before })
      if (hasMore) linkNext(request, reply, { before: page.at(-1)!.day })
      return page
    })
  }

/** The tokens that replies to all users cost. The scope that registers it is for admins only. */
export const adminUsageRoutes: FastifyPluginAsyncTypebox<{ usage: UsageStore }> =
  async function adminUsageRoutes (app, { usage }) {
    app.get('/usage', UsageOfAll, async (request, reply) => {
      const { cursor, ...filter } = request.query
      const rows = await usage.ofAll({ ...filter, after: cursor === undefined ? undefined : decodePlace(cursor) })
      const { page, hasMore } = cutPage(rows, filter.limit)
      if (hasMore) linkNext(request, reply, { cursor: encodePlace(page.at(-1)!) })
      return page
    })
  }

function encodePlace ({ day, user_id, bot, model }: UsagePlace): string {
  return Buffer.from(JSON.stringify([day, user_id, bot, model])).toString('base64url')
}

/** @throws INVALID_CURSOR for a text that `encodePlace` did not make */
function decodePlace (text: string): UsagePlace {
  try {
    const [day, user_id, bot, model] = JSON.parse(Buffer.from(text, 'base64url').toString()) as [string, number | null, string | null, string | null]
    const place = { day, user_id, bot, model }
    const isOurs = isDay(day) && (user_id === null || Number.isSafeInteger(user_id)) && [bot, model].every(isNameOrNull)
    if (isOurs && encodePlace(place) === text) return place
  } catch {
    // Not even JSON.
  }
  throw new INVALID_CURSOR()
}

/** Postgres takes no NUL character. */
function isNameOrNull (name: unknown) {
  return name === null || (typeof name === 'string' && !name.includes('\0'))
}

const Day = Type.String({ maxLength: 40, format: 'date', 'x-rule': 'must be a day such as 2026-11-21' })
const Count = Type.Integer({ minimum: 0 })

const Usage = {
  schema: {
    operationId: 'getMyUsage',
    summary: 'What the replies to this account cost in tokens, by day (UTC) and bot, newest first',
    description: 'Every attempt counts, however it ended, also if its message was deleted later.',
    tags: ['profile'],
    security: LOGGED_IN,
    querystring: Type.Object({
      limit: PageQuery.properties.limit,
      before: Type.Optional(Type.String({ ...Day, description: 'The days before this one' }))
    }),
    response: answers({
      200: Type.Array(Type.Object({
        day: Day, bot: Nullable(Type.String()), replies: Count, prompt_tokens: Count, completion_tokens: Count
      }, { title: 'DayOfMyUsage' }))
    }, [UNAUTHORIZED, NOT_FOR_GUESTS])
  }
}

const UsageOfAll = {
  schema: {
    operationId: 'getUsage',
    summary: 'What all replies cost in tokens, by day (UTC), user, bot and model, newest first, for admins',
    description: '`replies` counts attempts, `estimated` those of them whose tokens are an estimate because the provider named none. ' +
      'The costs of a deleted account stay, without a user.',
    tags: ['admin'],
    security: LOGGED_IN,
    querystring: Type.Object({
      limit: PageQuery.properties.limit,
      cursor: Type.Optional(Type.String({ maxLength: 2000, description: 'From the Link header of the page before' })),
      user: Type.Optional(Type.Integer({ ...Id, description: 'Only this user, by id' })),
      bot: Type.Optional(Type.String({ maxLength: 200, pattern: /^\P{C}*$/u.source, 'x-rule': 'may contain only visible characters', description: 'Only this bot, by name' })),
      model: Type.Optional(Type.String({ maxLength: 200, pattern: /^\P{C}*$/u.source, 'x-rule': 'may contain only visible characters', description: 'Only this model' })),
      from: Type.Optional(Type.String({ ...Day, description: 'The days from this one on' })),
      before: Type.Optional(Type.String({ ...Day, description: 'The days before this one' }))
    }),
    response: answers({
      200: Type.Array(Type.Object({
        day: Day,
        user_id: Nullable(Id),
        username: Nullable(Type.String()),
        bot: Nullable(Type.String()),
        model: Nullable(Type.String()),
        replies: Count,
        estimated: Count,
        prompt_tokens: Count,
        completion_tokens: Count
      }, { title: 'DayOfUsage' }))
    }, [UNAUTHORIZED, NOT_FOR_GUESTS, NOT_AN_ADMIN, INVALID_CURSOR])
  }
}
