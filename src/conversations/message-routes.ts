import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import {
  BOT_BUSY, CONVERSATION_NOT_FOUND, IDEMPOTENCY_MISMATCH, MESSAGE_NOT_FOUND, NOT_THE_AUTHOR, TOO_MANY_REPLIES, UNAUTHORIZED
} from '../errors.js'
import { linkNext, sendPage } from '../http/paging.js'
import { answers, ClientIdHeader, LOGGED_IN } from '../http/schema.js'
import type { Converse } from './converse.js'
import type { FeedStore } from './feed-store.js'
import type { Generation } from './generation.js'
import type { MessageStore } from './message-store.js'
import { ConversationParams, EditedMessageSchema, MessageParams, MessageSchema, MessagesQuery, MessagesSchema, NewMessageSchema } from './schema.js'
import { EventStream, wantsStream } from './stream-routes.js'
import type { Streams } from './streams.js'

export interface MessageRoutesOptions {
  messages: MessageStore
  feeds: FeedStore
  converse: Converse
  generation: Generation
  streams: Streams
}

/** The messages of a conversation. The scope that registers it has authenticated `user`. */
export const messageRoutes: FastifyPluginAsyncTypebox<MessageRoutesOptions> =
  async function messageRoutes (app, { messages, feeds, converse, generation, streams }) {
    app.get('/', List, async (request, reply) => {
      const { user, params, query: { limit, before, after } } = request
      if (after !== undefined) {
        const { changes, more, streaming } = await feeds.newsFor(user.id, params.id, after, limit)
        if (more) linkNext(request, reply, { after: changes.at(-1)!.rev })
        return [...streaming, ...changes]
      }
      const { page, hasMore } = await messages.page(user.id, params.id, { limit, before })
      if (hasMore) linkNext(request, reply, { before: page[0]!.id })
      return sendPage(reply, page)
    })

    app.post('/', Send, async ({ user, params, headers, body, log }, reply) => {
      const clientId = headers['idempotency-key'] ?? body.client_id
      const to = { conversation: params.id }
      const { conversation, messages: said } = await converse({ author: user, to, text: body.text, clientId })
      if (wantsStream(headers)) return await streams.send(reply, { user, conversation, after: Math.min(...said.map(({ rev }) => rev)) - 1, until: said }, log)
      return reply.code(201).send(await streams.ended(user.id, conversation, said))
    })

    app.get('/:message', Get, async ({ user, params }) =>
      messages.get(user.id, params.id, params.message))

    app.put('/:message', Edit, async ({ user, params, body }) => {
      const edited = await messages.edit(user.id, params.id, params.message, body.text)
      await generation.askAgain(user.id, { conversation: params.id, id: params.message })
      return edited
    })

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
    description: 'Answers when the replies have ended, or with `Accept: text/event-stream` with events as they grow; who leaves stops nothing.',
    params: ConversationParams,
    headers: ClientIdHeader,
    body: NewMessageSchema,
    response: answers({ 200: EventStream, 201: MessagesSchema }, [UNAUTHORIZED, CONVERSATION_NOT_FOUND, IDEMPOTENCY_MISMATCH, BOT_BUSY, TOO_MANY_REPLIES])
  }
}

const Get = {
  schema: { ...common, summary: 'One message', params: MessageParams, response: answers({ 200: MessageSchema }, NOT_THERE) }
}

const Edit = {
  schema: {
    ...common,
    summary: 'Changes the text of your own message',
    description: 'A bot that takes its time and has answered it last answers again.',
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
