import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import type { BotRow, Engines } from '../../bots/bot.ts'
import { BOT_NAME_TAKEN, BOT_NOT_FOUND, NOT_AN_ADMIN, NOT_FOR_GUESTS, UNAUTHORIZED } from '../../errors.ts'
import { MESSAGE_BODY_LIMIT } from '../../http/body-limits.ts'
import { cutPage, linkNext } from '../../http/paging.ts'
import { answers, Id, LOGGED_IN } from '../../http/schema.ts'
import { BotChangesSchema, BotSchema, newBotSchema, secretsOf, withoutSecrets } from './schema.ts'
import type { BotStore } from './store.ts'
import type { BotTitle, TitleOf } from './title.ts'
import { AfterIdQuery, BotTitleSchema } from '../members/schema.ts'

/** Lists of bots. The scope that registers it has authenticated `user`, and refuses guests. */
export const botRoutes: FastifyPluginAsyncTypebox<{ bots: BotStore, titleOf: TitleOf }> =
  async function botRoutes (app, { bots, titleOf }) {
    app.get('/', List, async (request, reply) => {
      const { user, query } = request
      const { page, hasMore } = await offered(user.role === 'admin', query)
      if (hasMore) linkNext(request, reply, { after: page.at(-1)!.id })
      return page
    })

    /** Bots that are not ready are for admins only. Reads on until the page is full, however many of them are skipped. */
    async function offered (isAdmin: boolean, { limit, after }: { limit: number, after?: number }) {
      const found: BotTitle[] = []
      for (let hasMore = true; hasMore && found.length <= limit;) {
        const read = await bots.list({ limit, after })
        found.push(...read.page.map(titleOf).filter(bot => isAdmin || bot.is_ready))
        after = read.page.at(-1)?.id
        hasMore = read.hasMore
      }
      return cutPage(found, limit)
    }
  }

/** Management of bots. The scope that registers it is for admins only. */
export const adminBotRoutes: FastifyPluginAsyncTypebox<{ bots: BotStore, engines: Engines }> =
  async function adminBotRoutes (app, { bots, engines }) {
    const NewBotSchema = newBotSchema(engines)
    const checkBot = app.checkOf(NewBotSchema)
    const shown = (bot: BotRow) => withoutSecrets(engines, bot)

    app.get('/', ListAll, async (request, reply) => {
      const { page, hasMore } = await bots.list(request.query)
      if (hasMore) linkNext(request, reply, { after: page.at(-1)!.id })
      return page.map(shown)
    })

    app.post('/', { ...Create, schema: { ...Create.schema, body: NewBotSchema } }, async ({ user, body }, reply) =>
      reply.code(201).send(shown(await bots.create(user, body))))

    app.patch('/:id', Change, async ({ user, params, body }) => {
      const bot = await bots.get(params.id)
      const { name, engine } = bot
      // Secrets are write-only: other settings can be changed without sending them again.
      const settings = body.settings && { ...secretsOf(engines, bot), ...body.settings }
      const changed = checkBot({ name, ...body, settings: settings ?? bot.settings, engine })
      return shown(await bots.change(user, params.id, { name: body.name, settings: settings && changed.settings }))
    })

    app.delete('/:id', Remove, async ({ user, params }, reply) => {
      await bots.remove(user, params.id)
      return reply.code(204).send(null)
    })
  }

const common = { tags: ['bots'], security: LOGGED_IN }
const NOT_YOU = [UNAUTHORIZED, NOT_FOR_GUESTS]
const NO_ADMIN = [...NOT_YOU, NOT_AN_ADMIN]

const List = {
  schema: {
    ...common,
    operationId: 'listBots',
    summary: 'The bots that may be added to a conversation',
    description: 'Bots that are not ready, such as a language model without an API key, are shown to admins only.',
    querystring: AfterIdQuery,
    response: answers({ 200: Type.Array(BotTitleSchema) }, NOT_YOU)
  }
}

const ListAll = {
  schema: {
    ...common,
    operationId: 'listBotSettings',
    summary: 'The bots with their settings, for admins',
    querystring: AfterIdQuery,
    response: answers({ 200: Type.Array(BotSchema) }, NO_ADMIN)
  }
}

const Create = {
  bodyLimit: MESSAGE_BODY_LIMIT,
  schema: {
    ...common,
    operationId: 'createBot',
    summary: 'Makes a bot, for admins',
    response: answers({ 201: BotSchema }, [...NO_ADMIN, BOT_NAME_TAKEN])
  }
}

const Change = {
  bodyLimit: MESSAGE_BODY_LIMIT,
  schema: {
    ...common,
    operationId: 'updateBot',
    summary: 'Changes the name or all settings of a bot, for admins',
    description: 'Secrets are never shown, and stay when they are left out.',
    params: Type.Object({ id: Id }),
    body: BotChangesSchema,
    response: answers({ 200: BotSchema }, [...NO_ADMIN, BOT_NOT_FOUND, BOT_NAME_TAKEN])
  }
}

const Remove = {
  schema: {
    ...common,
    operationId: 'deleteBot',
    summary: 'Deletes a bot, for admins',
    description: 'It is removed from all conversations. Its messages stay, without a name.',
    params: Type.Object({ id: Id }),
    response: answers({ 204: Type.Null() }, [...NO_ADMIN, BOT_NOT_FOUND])
  }
}
