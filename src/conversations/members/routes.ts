import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import {
  BOT_NOT_FOUND, BOT_NOT_READY, CONVERSATION_FULL, CONVERSATION_NOT_FOUND, LAST_MEMBER, NOT_FOR_GUESTS, NOT_THE_OWNER, UNAUTHORIZED,
  USER_NOT_FOUND
} from '../../errors.ts'
import { linkNext } from '../../http/paging.ts'
import { answers, LOGGED_IN } from '../../http/schema.ts'
import { AfterIdQuery, BotNameSchema, BotParams, BotTitleSchema, MemberSchema, UserNameSchema, UserParams, UserSchema } from './schema.ts'
import type { MemberStore } from './store.ts'
import { ConversationParams } from '../schema.ts'

/** The members of a conversation. The scope that registers it has authenticated `user`, and refuses guests. */
export const memberRoutes: FastifyPluginAsyncTypebox<{ members: MemberStore }> =
  async function memberRoutes (app, { members }) {
    app.get('/users', ListUsers, async (request, reply) => {
      const { user, params, query } = request
      const { page, hasMore } = await members.users(user.id, params.id, query)
      if (hasMore) linkNext(request, reply, { after: page.at(-1)!.id })
      return page
    })

    app.post('/users', Invite, async ({ user, params, body }, reply) =>
      reply.code(201).send(await members.invite(user, params.id, body.username)))

    app.delete('/users/:user', RemoveUser, async ({ user, params }, reply) => {
      await members.removeUser(user.id, params.id, params.user)
      return reply.code(204).send(null)
    })

    app.get('/bots', ListBots, async (request, reply) => {
      const { user, params, query } = request
      const { page, hasMore } = await members.bots(user.id, params.id, query)
      if (hasMore) linkNext(request, reply, { after: page.at(-1)!.id })
      return page
    })

    app.post('/bots', AddBot, async ({ user, params, body }, reply) =>
      reply.code(201).send(await members.addBot(user.id, params.id, body.name)))

    app.delete('/bots/:bot', RemoveBot, async ({ user, params }, reply) => {
      await members.removeBot(user.id, params.id, params.bot)
      return reply.code(204).send(null)
    })
  }

const common = { tags: ['members'], security: LOGGED_IN }
const NOT_YOURS = [UNAUTHORIZED, NOT_FOR_GUESTS, CONVERSATION_NOT_FOUND]

const ListUsers = {
  schema: {
    ...common,
    operationId: 'listMembers',
    summary: 'The users of a conversation',
    params: ConversationParams,
    querystring: AfterIdQuery,
    response: answers({ 200: Type.Array(MemberSchema) }, NOT_YOURS)
  }
}

const Invite = {
  schema: {
    ...common,
    operationId: 'addMember',
    summary: 'Adds a user to your own conversation, who can read its full history',
    params: ConversationParams,
    body: UserNameSchema,
    response: answers({ 201: UserSchema }, [...NOT_YOURS, NOT_THE_OWNER, USER_NOT_FOUND, CONVERSATION_FULL])
  }
}

const RemoveUser = {
  schema: {
    ...common,
    operationId: 'removeMember',
    summary: 'Leaves a conversation, or removes a user from your own',
    description: 'An owner who leaves hands the conversation to its oldest member.',
    params: UserParams,
    response: answers({ 204: Type.Null() }, [...NOT_YOURS, NOT_THE_OWNER, USER_NOT_FOUND, LAST_MEMBER])
  }
}

const ListBots = {
  schema: {
    ...common,
    operationId: 'listConversationBots',
    summary: 'The bots of a conversation',
    params: ConversationParams,
    querystring: AfterIdQuery,
    response: answers({ 200: Type.Array(BotTitleSchema) }, NOT_YOURS)
  }
}

const AddBot = {
  schema: {
    ...common,
    operationId: 'addConversationBot',
    summary: 'Adds a bot to your own conversation',
    description: 'The only bot of a conversation answers everything; of several those that are named as `@name`, in the order named.',
    params: ConversationParams,
    body: BotNameSchema,
    response: answers({ 201: BotTitleSchema }, [...NOT_YOURS, NOT_THE_OWNER, BOT_NOT_FOUND, BOT_NOT_READY, CONVERSATION_FULL])
  }
}

const RemoveBot = {
  schema: {
    ...common,
    operationId: 'removeConversationBot',
    summary: 'Removes a bot and its state from your own conversation',
    params: BotParams,
    response: answers({ 204: Type.Null() }, [...NOT_YOURS, NOT_THE_OWNER, BOT_NOT_FOUND])
  }
}
