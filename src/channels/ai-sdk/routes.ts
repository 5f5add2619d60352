import type { Readable } from 'node:stream'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import type { MessageStore } from '../../conversations/messages/store.ts'
import { CONVERSATION_NOT_FOUND, UNAUTHORIZED } from '../../errors.ts'
import { MESSAGE_BODY_LIMIT } from '../../http/body-limits.ts'
import type { createErrorHandler, Dialect } from '../../http/error-handler.ts'
import { linkNext } from '../../http/paging.ts'
import { answers, ErrorText, Id, LOGGED_IN } from '../../http/schema.ts'
import type { Message } from '../../log/message.ts'
import type { Replies } from '../../replies/replies.ts'
import type { UiChats } from './chat.ts'
import { toUiMessage, UiChatParams, UiMessageSchema, UiStreamSchema } from './schema.ts'

export interface UiChatRoutesOptions {
  chats: UiChats
  messages: Pick<MessageStore, 'page'>
  generation: Pick<Replies, 'stop'>
  handleErrors: (dialect: Dialect) => ReturnType<typeof createErrorHandler>
}

/** What the AI SDK's `useChat` asks for beside `POST /chat`. The scope that registers it has authenticated `user`. */
export const uiChatRoutes: FastifyPluginAsyncTypebox<UiChatRoutesOptions> =
  async function uiChatRoutes (app, { chats, messages, generation, handleErrors }) {
    app.get('/chat/:id', History, async (request, reply) => {
      const { user, params, query } = request
      const conversation = await chats.find(user, params.id)
      if (conversation === undefined) return []
      const { page, hasMore } = await messages.page(user.id, conversation, query)
      if (hasMore) linkNext(request, reply, { before: page[0]!.id })
      return page.map(({ json }) => toUiMessage(JSON.parse(json) as Message))
    })

    // The AI SDK shows the body of a refusal as it is.
    app.get('/chat/:id/stream', { ...Resume, errorHandler: handleErrors(({ error }) => error) }, async ({ user, params, log }, reply) => {
      const conversation = await chats.find(user, params.id)
      const underWay = conversation && await chats.underWay(conversation)
      if (!underWay) return reply.code(204).send(null)
      return await chats.stream(user, conversation!, underWay, reply, log)
    })

    app.post('/chat/:id/stop', Stop, async ({ user, params }, reply) => {
      const conversation = await chats.find(user, params.id)
      if (conversation !== undefined) await generation.stop(user.id, conversation)
      return reply.code(204).send(null)
    })
  }

const common = { tags: ['chat'], security: LOGGED_IN, params: UiChatParams }
const FAILURES = [UNAUTHORIZED, CONVERSATION_NOT_FOUND]

const History = {
  schema: {
    ...common,
    operationId: 'listUiMessages',
    summary: 'The messages of a chat as the AI SDK has them, oldest first',
    description: 'The newest ones, or those before one of them. A chat that has not begun yet has none.',
    querystring: Type.Object({ limit: Type.Integer({ minimum: 1, maximum: 200, default: 200 }), before: Type.Optional(Id) }),
    response: answers({ 200: Type.Array(UiMessageSchema) }, FAILURES)
  }
}

const UiStream = Type.Unsafe<Readable>({ description: 'The stream', content: { 'text/event-stream': { schema: UiStreamSchema } } })

const Resume = {
  config: { stream: 'always' as const },
  schema: {
    ...common,
    operationId: 'resumeUiStream',
    summary: 'The reply that is under way, from its beginning, for the AI SDK\'s `resumeStream`',
    description: '204 where none is under way.',
    response: answers({ 200: UiStream, 204: Type.Null() }, FAILURES, ErrorText)
  }
}

const Stop = {
  // The AI SDK's example sends the reply so far, which nobody reads.
  bodyLimit: MESSAGE_BODY_LIMIT,
  schema: {
    ...common,
    operationId: 'stopUiChat',
    summary: 'Stops the replies of a chat that are under way; their text stays',
    description: 'The AI SDK\'s own `stop` only closes the connection, which does not stop a reply.',
    response: answers({ 204: Type.Null() }, FAILURES)
  }
}
