import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import type { BotRow, Engines } from '../bots/bot.js'
import { BOT_NAME_TAKEN, BOT_NOT_FOUND, INVALID_REQUEST, NOT_AN_ADMIN, NOT_FOR_GUESTS, UNAUTHORIZED } from '../errors.js'
import { linkNext } from '../http/paging.js'
import { answers, Id, LOGGED_IN } from '../http/schema.js'
import { BotChangesSchema, BotSchema, newBotSchema, secretsOf, withoutSecrets } from './bot-schema.js'
import type { BotStore } from './bot-store.js'
import { AfterIdQuery, BotTitleSchema } from './member-schema.js'

/** Which bots there are. The scope that registers it has authenticated `user`, and refuses guests. */
export const botRoutes: FastifyPluginAsyncTypebox<{ bots: BotStore }> =
  async function botRoutes (app, { bots }) {
    app.get('/', List, async (request, reply) => {
      const { page, hasMore } = await bots.list(request.query)
      if (hasMore) linkNext(request, reply, { after: page.at(-1)!.id })
      return page
    })
  }

/** The bots as an admin manages them. The scope that registers it is for admins only. */
export const adminBotRoutes: FastifyPluginAsyncTypebox<{ bots: BotStore, engines: Engines }> =
  async function adminBotRoutes (app, { bots, engines }) {
    const NewBotSchema = newBotSchema(engines)
    const shown = (bot: BotRow) => withoutSecrets(engines, bot)

    app.get('/', ListAll, async (request, reply) => {
      const { page, hasMore } = await bots.list(request.query)
      if (hasMore) linkNext(request, reply, { after: page.at(-1)!.id })
      return page.map(shown)
    })

    app.post('/', { schema: { ...Create.schema, body: NewBotSchema } }, async ({ body }, reply) =>
      reply.code(201).send(shown(await bots.create(body))))

    app.patch('/:id', Change, async request => {
      const { params, body } = request
      const bot = await bots.get(params.id)
      const { name, engine } = bot
      // Whoever changes the rest need not know the secrets, and nobody can look them up.
      const settings = body.settings && { ...secretsOf(engines, bot), ...body.settings }
      const isRight = request.compileValidationSchema(NewBotSchema, 'body')
      if (!isRight({ name, ...body, settings: settings ?? bot.settings, engine })) {
        throw Object.assign(new INVALID_REQUEST(), { validation: isRight.errors, validationContext: 'body' })
      }
      return shown(await bots.change(params.id, { name: body.name, settings }))
    })

    app.delete('/:id', Remove, async ({ params }, reply) => {
      await bots.remove(params.id)
      return reply.code(204).send(null)
    })
  }

const common = { tags: ['bots'], security: LOGGED_IN }
const NOT_YOU = [UNAUTHORIZED, NOT_FOR_GUESTS]
const NO_ADMIN = [...NOT_YOU, NOT_AN_ADMIN]

const List = {
  schema: {
    ...common,
    summary: 'The bots that may be added to a conversation',
    querystring: AfterIdQuery,
    response: answers({ 200: Type.Array(BotTitleSchema) }, NOT_YOU)
  }
}

const ListAll = {
  schema: {
    ...common,
    summary: 'The bots with their settings, for admins',
    querystring: AfterIdQuery,
    response: answers({ 200: Type.Array(BotSchema) }, NO_ADMIN)
  }
}

const Create = {
  schema: {
    ...common,
    summary: 'Makes a bot, for admins',
    response: answers({ 201: BotSchema }, [...NO_ADMIN, BOT_NAME_TAKEN])
  }
}

const Change = {
  schema: {
    ...common,
    summary: 'Changes the name or all settings of a bot, for admins',
    description: 'Secrets among the settings are never shown, and stay as they are when they are left out.',
    params: Type.Object({ id: Id }),
    body: BotChangesSchema,
    response: answers({ 200: BotSchema }, [...NO_ADMIN, BOT_NOT_FOUND, BOT_NAME_TAKEN])
  }
}

const Remove = {
  schema: {
    ...common,
    summary: 'Deletes a bot, for admins',
    description: 'It leaves all conversations. What it said stays, without a name.',
    params: Type.Object({ id: Id }),
    response: answers({ 204: Type.Null() }, [...NO_ADMIN, BOT_NOT_FOUND])
  }
}
