import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { CONVERSATION_NOT_FOUND, IDEMPOTENCY_MISMATCH, MESSAGE_NOT_FOUND, NOT_THE_AUTHOR, UNAUTHORIZED } from '../errors.js'
import { linkNext } from '../http/paging.js'
import { answers, ClientIdHeader, LOGGED_IN } from '../http/schema.js'
import type { Converse } from './converse.js'
import type { MessageStore } from './message-store.js'
import { ConversationParams, EditedMessageSchema, MessageParams, MessageSchema, MessagesQuery, MessagesSchema, NewMessageSchema } from './schema.js'

export interface MessageRoutesOptions { messages: MessageStore, converse: Converse }

/** The messages of a conversation. The scope that registers it has authenticated `user`. */
export const messageRoutes: FastifyPluginAsyncTypebox<MessageRoutesOptions> =
  async function messageRoutes (app, { messages, converse }) {
    app.get('/', List, async (request, reply) => {
      const { user, params, query: { limit, before, after } } = request
      if (after !== undefined) {
        const { page, hasMore } = await messages.changes(user.id, params.id, { limit, after })
        if (hasMore) linkNext(request, reply, { after: page.at(-1)!.rev })
        return page
      }
      const { page, hasMore } = await messages.page(user.id, params.id, { limit, before })
      if (hasMore) linkNext(request, reply, { before: page[0]!.id })
      return page
    })

    app.post('/', Send, async ({ user, params, headers, body }, reply) => {
      const clientId = headers['idempotency-key'] ?? body.client_id
      const to = { conversation: params.id }
      return reply.code(201).send(await converse({ author: user, to, text: body.text, clientId }))
    })

    app.get('/:message', Get, async ({ user, params }) =>
      messages.get(user.id, params.id, params.message))

    app.put('/:message', Edit, async ({ user, params, body }) =>
      messages.edit(user.id, params.id, params.message, body.text))

    app.delete('/:message', Remove, async ({ user, params }, reply) => {
      await messages.remove(user.id, params.id, params.message)
      return reply.code(204).send(null)
    })
  }

const common = { tags: ['messages'], security: LOGGED_IN }
const NOT_THERE = [UNAUTHORIZED, CONVERSATION_NOT_FOUND, MESSAGE_NOT_FOUND]

const List = {
  schema: {
    ...common,
    summary: 'The newest messages, those before one of them, or all that changed after a rev',
    params: ConversationParams,
    querystring: MessagesQuery,
    response: answers({ 200: MessagesSchema }, [UNAUTHORIZED, CONVERSATION_NOT_FOUND])
  }
}

const Send = {
  schema: {
    ...common,
    summary: 'Sends a message; answers with it and with the bots\' replies',
    params: ConversationParams,
    headers: ClientIdHeader,
    body: NewMessageSchema,
    response: answers({ 201: MessagesSchema }, [UNAUTHORIZED, CONVERSATION_NOT_FOUND, IDEMPOTENCY_MISMATCH])
  }
}

const Get = {
  schema: { ...common, summary: 'One message', params: MessageParams, response: answers({ 200: MessageSchema }, NOT_THERE) }
}

const Edit = {
  schema: {
    ...common,
    summary: 'Changes the text of your own message',
    params: MessageParams,
    body: EditedMessageSchema,
    response: answers({ 200: MessageSchema }, [...NOT_THERE, NOT_THE_AUTHOR])
  }
}

const Remove = {
  schema: {
    ...common,
    summary: 'Deletes your own message, or any message of your own conversation',
    params: MessageParams,
    response: answers({ 204: Type.Null() }, [...NOT_THERE, NOT_THE_AUTHOR])
  }
}
