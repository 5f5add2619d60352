import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import type { ServerKey } from '../../accounts/keys/key-store.ts'
import {
  BOT_BUSY, BOT_NOT_FOUND, BUDGET_SPENT, CONVERSATION_NOT_FOUND, IDEMPOTENCY_MISMATCH, MESSAGE_NOT_FOUND, NOT_A_SERVER, NOT_THE_AUTHOR,
  TOO_MANY_REPLIES, UNAUTHORIZED
} from '../../errors.ts'
import { MESSAGE_BODY_LIMIT } from '../../http/body-limits.ts'
import { linkNext, sendPage } from '../../http/paging.ts'
import { answers, ClientIdHeader, LOGGED_IN, wantsStream } from '../../http/schema.ts'
import type { Converse } from '../converse.ts'
import type { FeedStore } from '../../log/feed-store.ts'
import type { Replies } from '../../replies/replies.ts'
import type { PostStore } from './post-store.ts'
import type { MessageStore } from './store.ts'
import { ConversationParams, EditedMessageSchema, MessageParams, MessagesQuery, NewMessageSchema, saidIn } from '../schema.ts'
import { MessageSchema, MessagesSchema } from '../../log/message.ts'
import { EventStream } from '../live/routes.ts'
import type { Streams } from '../live/streams.ts'

export interface MessageRoutesOptions {
  messages: MessageStore
  feeds: FeedStore
  generation: Replies
  /** Refuses a text that is too long for the bots of a conversation. @throws INVALID_REQUEST */
  mustFitBots: (user: number, conversation: number, text: string) => Promise<void>
}

/** The messages of a conversation. The scope that registers it has authenticated `user`. */
export const messageRoutes: FastifyPluginAsyncTypebox<MessageRoutesOptions> =
  async function messageRoutes (app, { messages, feeds, generation, mustFitBots }) {
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

    app.get('/:message', Get, async ({ user, params }) =>
      messages.get(user.id, params.id, params.message))

    app.put('/:message', Edit, async ({ user, params, body }) => {
      await mustFitBots(user.id, params.id, body.text)
      const edited = await messages.edit(user.id, params.id, params.message, body.text)
      await generation.askAgain(user.id, { conversation: params.id, id: params.message })
      return edited
    })

    app.delete('/:message', Remove, async ({ user, params }, reply) => {
      await messages.remove(user.id, params.id, params.message)
      return reply.code(204).send(null)
    })
  }

/** Sends a message: a user, with the bots' replies, or a server in the name of a bot or an agent. */
export const sendRoute: FastifyPluginAsyncTypebox<{ converse: Converse, streams: Streams, posts: PostStore }> =
  async function sendRoute (app, { converse, streams, posts }) {
    app.post('/', { onRequest: app.authenticateOrNeedKey('act'), ...Send }, async (request, reply) => {
      const { user, params, headers, body, log } = request
      const { serverKey }: { serverKey?: ServerKey } = request
      const { as, metadata, client_id: ownId } = body
      const clientId = headers['idempotency-key'] ?? ownId
      if (serverKey !== undefined) {
        if (as === undefined) throw Object.assign(new UNAUTHORIZED(), { message: 'A server key must name a user in the header X-Act-As, or a bot or an agent in the field as' })
        return reply.code(201).send([await posts.post(serverKey, { conversation: params.id, ...saidIn(body), metadata, as, clientId })])
      }
      if (as !== undefined) throw new NOT_A_SERVER()
      const { conversation, messages: said } = await converse({ author: user, to: { conversation: params.id }, ...saidIn(body), metadata, clientId })
      if (wantsStream(headers)) return await streams.send(reply, { user, conversation, after: Math.min(...said.map(({ rev }) => rev)) - 1, until: said }, log)
      reply.leaveSlot()
      return reply.code(201).send(await streams.ended(user, conversation, said))
    })
  }

const common = { tags: ['messages'], security: LOGGED_IN }
const NOT_THERE = [UNAUTHORIZED, CONVERSATION_NOT_FOUND, MESSAGE_NOT_FOUND]

const List = {
  schema: {
    ...common,
    operationId: 'listMessages',
    summary: 'The newest messages, those before one of them, or all that changed after a rev',
    params: ConversationParams,
    querystring: MessagesQuery,
    response: answers({ 200: MessagesSchema }, [UNAUTHORIZED, CONVERSATION_NOT_FOUND])
  }
}

const Send = {
  bodyLimit: MESSAGE_BODY_LIMIT,
  config: { stream: 'asked' as const },
  schema: {
    ...common,
    operationId: 'sendMessage',
    summary: 'Sends a message; answers with it and with the bots\' replies',
    description: 'Answers when the replies have ended, or with `Accept: text/event-stream` with events as they grow; closing the connection does not stop them. ' +
      'Send an `Idempotency-Key`, above all with a stream: libraries repeat a request whose connection breaks, and with the same key it is stored once. ' +
      'A text has at most 8,000 characters, or up to 100,000 where all bots that it addresses take as much, as language models do. ' +
      'A server writes with `as`; no bot replies, and the answer has this one message.',
    params: ConversationParams,
    headers: ClientIdHeader,
    body: NewMessageSchema,
    response: answers({ 200: EventStream, 201: MessagesSchema }, [UNAUTHORIZED, NOT_A_SERVER, CONVERSATION_NOT_FOUND, BOT_NOT_FOUND, IDEMPOTENCY_MISMATCH, BOT_BUSY, TOO_MANY_REPLIES, BUDGET_SPENT])
  }
}

const Get = {
  schema: { ...common, operationId: 'getMessage', summary: 'One message', params: MessageParams, response: answers({ 200: MessageSchema }, NOT_THERE) }
}

const Edit = {
  bodyLimit: MESSAGE_BODY_LIMIT,
  schema: {
    ...common,
    operationId: 'editMessage',
    summary: 'Changes the text of your own message',
    description: 'If a streaming bot gave the last reply to it, that reply is generated again.',
    params: MessageParams,
    body: EditedMessageSchema,
    response: answers({ 200: MessageSchema }, [...NOT_THERE, NOT_THE_AUTHOR])
  }
}

const Remove = {
  schema: {
    ...common,
    operationId: 'deleteMessage',
    summary: 'Deletes your own message, or any message of your own conversation',
    params: MessageParams,
    response: answers({ 204: Type.Null() }, [...NOT_THERE, NOT_THE_AUTHOR])
  }
}
