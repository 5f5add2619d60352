import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { BOT_NOT_FOUND, BOT_NOT_READY, CONVERSATION_NOT_FOUND, INVALID_CURSOR, NOT_THE_OWNER, UNAUTHORIZED } from '../errors.ts'
import { decodeCursor, encodeCursor, linkNext, sendJson, sendPage } from '../http/paging.ts'
import { answers, LOGGED_IN } from '../http/schema.ts'
import {
  ConversationChangesSchema, ConversationNameSchema, ConversationParams, ConversationQuery, ConversationSchema, ConversationSettingsSchema,
  ConversationsQuery, ConversationTitleSchema, NewConversationSchema
} from './schema.ts'
import type { ConversationStore } from './store.ts'

/** Conversations. The scope that registers it has authenticated `user`. */
export const conversationRoutes: FastifyPluginAsyncTypebox<{ conversations: ConversationStore }> =
  async function conversationRoutes (app, { conversations }) {
    app.get('/', List, async (request, reply) => {
      const { user, query: { limit, cursor, messages } } = request
      const after = cursor === undefined ? undefined : decodeCursor(cursor)
      const { page, hasMore } = await conversations.list(user.id, { limit, after, messages })
      const last = page.at(-1)
      if (hasMore) linkNext(request, reply, { cursor: encodeCursor({ time: last!.last_updated, id: last!.id }) })
      return sendPage(reply, page)
    })

    app.post('/', Create, async ({ user, body }, reply) => {
      const { isNew, ...conversation } = await conversations.create(user, body)
      return reply.code(isNew ? 201 : 200).send(conversation)
    })

    app.get('/:id', Get, async ({ user, params, query }, reply) =>
      sendJson(reply, await conversations.get(user.id, params.id, query.messages)))

    app.put('/:id', Rename, async ({ user, params, body }) =>
      conversations.change(user.id, params.id, body))

    app.patch('/:id', Change, async ({ user, params, body }) =>
      conversations.change(user.id, params.id, body))

    app.delete('/:id', Remove, async ({ user, params }, reply) => {
      await conversations.remove(user.id, params.id)
      return reply.code(204).send(null)
    })
  }

const common = { tags: ['conversations'], security: LOGGED_IN }

const List = {
  schema: {
    ...common,
    operationId: 'listConversations',
    summary: 'Lists your conversations, last used first, each with its newest messages',
    querystring: ConversationsQuery,
    response: answers({ 200: Type.Array(ConversationSchema) }, [UNAUTHORIZED, INVALID_CURSOR])
  }
}

const Create = {
  schema: {
    ...common,
    operationId: 'createConversation',
    summary: 'Begins a conversation',
    description: '`client_id` is your own id for it. Where you have a conversation with this id already, nothing is stored, and the answer is that conversation, with status 200.',
    body: NewConversationSchema,
    response: answers({ 200: ConversationTitleSchema, 201: ConversationTitleSchema }, [UNAUTHORIZED, BOT_NOT_FOUND, BOT_NOT_READY])
  }
}

const Get = {
  schema: {
    ...common,
    operationId: 'getConversation',
    summary: 'One conversation with its newest messages',
    params: ConversationParams,
    querystring: ConversationQuery,
    response: answers({ 200: ConversationSchema }, [UNAUTHORIZED, CONVERSATION_NOT_FOUND])
  }
}

const Rename = {
  schema: {
    ...common,
    operationId: 'renameConversation',
    summary: 'Renames a conversation',
    description: '`metadata` replaces the object that was there; left out, that stays.',
    params: ConversationParams,
    body: ConversationNameSchema,
    response: answers({ 200: ConversationTitleSchema }, [UNAUTHORIZED, CONVERSATION_NOT_FOUND])
  }
}

const Change = {
  schema: {
    ...common,
    operationId: 'updateConversation',
    summary: 'Changes the name, `when_busy` or metadata of a conversation',
    description: '`when_busy`: `queue`, it is answered after; `interrupt`, the reply is stopped and both are answered; `reject`, it is refused.',
    params: ConversationParams,
    body: ConversationChangesSchema,
    response: answers({ 200: ConversationSettingsSchema }, [UNAUTHORIZED, CONVERSATION_NOT_FOUND])
  }
}

const Remove = {
  schema: {
    ...common,
    operationId: 'deleteConversation',
    summary: 'Deletes a conversation and all its messages',
    params: ConversationParams,
    response: answers({ 204: Type.Null() }, [UNAUTHORIZED, NOT_THE_OWNER, CONVERSATION_NOT_FOUND])
  }
}
