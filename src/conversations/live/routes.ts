import type { Readable } from 'node:stream'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { BOT_BUSY, BUDGET_SPENT, CONVERSATION_NOT_FOUND, MESSAGE_NOT_FOUND, NOT_THE_LAST_REPLY, TOO_MANY_REPLIES, UNAUTHORIZED } from '../../errors.ts'
import { answers, LOGGED_IN, Rev, wantsStream } from '../../http/schema.ts'
import type { Replies } from '../../replies/replies.ts'
import type { MessageStore } from '../messages/store.ts'
import { ConversationParams, MessageParams } from '../schema.ts'
import { type Message, MessageSchema } from '../../log/message.ts'
import type { Streams } from './streams.ts'

export interface StreamRoutesOptions { streams: Streams, generation: Replies, messages: MessageStore }

/** Event streams, and control of streaming replies. The scope that registers it has authenticated `user`. */
export const streamRoutes: FastifyPluginAsyncTypebox<StreamRoutesOptions> =
  async function streamRoutes (app, { streams, generation, messages }) {
    app.get('/events', Listen, async ({ user, params, query, headers, log }, reply) =>
      streams.send(reply, { user, conversation: params.id, after: headers['last-event-id'] ?? query.after }, log))

    app.post('/stop', Stop, async ({ user, params }, reply) => {
      await generation.stop(user.id, params.id)
      return reply.code(204).send(null)
    })

    app.post('/messages/:message/regenerate', Regenerate, async ({ user, params, headers, log }, reply) => {
      const { id: conversation, message: id } = params
      await generation.regenerate(user.id, { conversation, id })
      const begun = await messages.get(user.id, conversation, id)
      if (wantsStream(headers)) return await streams.send(reply, { user, conversation, after: begun.rev - 1, until: [begun] }, log)
      reply.leaveSlot()
      const [ended] = await streams.ended(user, conversation, [begun])
      return ended!
    })
  }

const common = { tags: ['messages'], security: LOGGED_IN }

const MessageOrStream = Type.Unsafe<Message | Readable>({
  description: 'The reply, or the stream',
  content: { 'application/json': { schema: MessageSchema }, 'text/event-stream': { schema: { type: 'string' } } }
})

export const EventStream = Type.Unsafe<Readable>({ description: 'The stream', content: { 'text/event-stream': { schema: { type: 'string' } } } })

const Listen = {
  config: { stream: 'always' as const },
  schema: {
    ...common,
    operationId: 'streamEvents',
    summary: 'The changes of a conversation, as server-sent events',
    description: 'Each `message` event is a whole message, new or changed, its id the message\'s `rev`; a `delta` `{id, part, type, offset, text}` is what ' +
      'a part of a reply grows by; `part` is left out for 0, `type` for a text. With `Last-Event-ID`, or `after`, all that changed after that rev comes first; without, the stream begins with ' +
      'what happens from now on. A connection may break before the first event: give `after`, or read the messages each time that the stream opens.',
    params: ConversationParams,
    querystring: Type.Object({ after: Type.Optional(Rev) }),
    headers: Type.Object({ 'last-event-id': Type.Optional(Rev) }),
    response: answers({ 200: EventStream }, [UNAUTHORIZED, CONVERSATION_NOT_FOUND])
  }
}

const Stop = {
  schema: {
    ...common,
    operationId: 'stopReplies',
    summary: 'Stops the replies that are under way; their text stays',
    params: ConversationParams,
    response: answers({ 204: Type.Null() }, [UNAUTHORIZED, CONVERSATION_NOT_FOUND])
  }
}

const Regenerate = {
  config: { stream: 'asked' as const },
  schema: {
    ...common,
    operationId: 'regenerateReply',
    summary: 'Generates the last reply of a streaming bot again, in its place',
    description: 'Answers when the reply has ended, or with `Accept: text/event-stream` with events as it grows.',
    params: MessageParams,
    response: answers({ 200: MessageOrStream }, [UNAUTHORIZED, MESSAGE_NOT_FOUND, BOT_BUSY, NOT_THE_LAST_REPLY, TOO_MANY_REPLIES, BUDGET_SPENT])
  }
}
