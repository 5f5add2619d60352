import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import {
  ACCOUNT_LOCKED, BOT_BUSY, BOT_FAILED, BOT_NOT_FOUND, BUDGET_SPENT, CONVERSATION_NOT_FOUND, EMPTY_INPUT, IDEMPOTENCY_MISMATCH, INVALID_PHONE, INVALID_TOKEN, MESSAGE_TOO_LONG, MISSING_TOKEN,
  TOO_MANY_REPLIES
} from '../../errors.ts'
import { MESSAGE_BODY_LIMIT } from '../../http/body-limits.ts'
import type { createErrorHandler, Dialect } from '../../http/error-handler.ts'
import { nothing } from '../../http/paging.ts'
import { answers, ClientIdHeader } from '../../http/schema.ts'
import { createGuestChat, GuestAnswerSchema, GuestMessageSchema, Initial, tokenOf, withStatus, type GuestChatOptions, type GuestMessage } from './guest.ts'
import { createPhoneChat, inLegacyWords, PhoneAnswerSchema, PhoneErrorSchema, PhoneQuestionSchema, refuseTooLong, type PhoneChatOptions, type PhoneQuestion } from './phone.ts'

export interface ChatRoutesOptions extends GuestChatOptions, PhoneChatOptions {
  config: GuestChatOptions['config'] & PhoneChatOptions['config']
  handleErrors: (dialect: Dialect) => ReturnType<typeof createErrorHandler>
}

/** `/chat`, which serves two kinds of clients: the guided chat by phone number, without a login, and guests with a token. */
export const chatRoutes: FastifyPluginAsyncTypebox<ChatRoutesOptions> =
  async function chatRoutes (app, { handleErrors, ...options }) {
    const chatByPhone = createPhoneChat(options)
    const guests = createGuestChat(options)

    app.setErrorHandler(handleErrors((body, request) =>
      isFromGuest(request.body) ? withStatus(body) : inLegacyWords(body, request)))

    app.post('/chat', { ...Chat, preValidation: async ({ body }) => { if (!isFromGuest(body)) refuseTooLong(body ?? {}) } }, async (request, reply) => {
      const { headers, body, bearer } = request
      const clientId = headers['idempotency-key'] ?? body.client_id
      if (isFromGuest(body)) return await guests.say(await app.userOf(tokenOf(body, bearer), request), body.content, clientId, reply)
      return await chatByPhone({ ...body, client_id: clientId }, digits => request.limitBy('phone', digits))
    })

    app.get('/chat/initial', { ...Initial, errorHandler: handleErrors(withStatus) }, async ({ headers, method }, reply) => {
      const key = await guests.mustHaveKey(headers['x-api-key'])
      // HEAD must not create a guest: the response has no body, so nobody would get the token.
      if (method === 'HEAD') return reply.type('application/json; charset=utf-8').send(nothing())
      const { guestId, text } = await guests.begin(key)
      return { token: await reply.openSession(guestId, 'guest', key.serverKey && { serverKeyId: key.serverKey.id }), text }
    })
  }

/** Whether a body is a guest's: it has `token` or `content`, and no field of the phone chat. `ChatSchema` states the same rule as a schema. */
function isFromGuest (body: unknown): body is GuestMessage {
  const sent = Object.keys(body ?? {})
  return sent.some(name => name === 'token' || name === 'content') && !sent.some(name => name === 'user_phone' || name === 'user_message')
}

const has = (...names: string[]) => ({ anyOf: names.map(name => ({ required: [name], properties: { [name]: {} } })) })

const ChatSchema = Type.Unsafe<PhoneQuestion | GuestMessage>({
  type: 'object',
  if: { allOf: [has('token', 'content'), { not: has('user_phone', 'user_message') }] },
  then: GuestMessageSchema,
  else: PhoneQuestionSchema
})

const Chat = {
  config: { limit: 'chat' as const },
  bodyLimit: MESSAGE_BODY_LIMIT,
  schema: {
    operationId: 'chat',
    summary: 'Chats with the guided bot by phone number, or with a bot as a guest',
    description: 'A body with `token` or `content`, and without `user_phone` and `user_message`, is a guest\'s message. Any other body is for the guided chat. ' +
      'There is no login: typing a phone number proves nothing, and the bot tells the name it knows to anybody who types that number.',
    tags: ['chat'],
    headers: ClientIdHeader,
    body: ChatSchema,
    response: answers({ 200: Type.Union([PhoneAnswerSchema, GuestAnswerSchema]) },
      [EMPTY_INPUT, INVALID_PHONE, MESSAGE_TOO_LONG, BOT_NOT_FOUND, IDEMPOTENCY_MISMATCH, MISSING_TOKEN, INVALID_TOKEN, CONVERSATION_NOT_FOUND, BOT_BUSY,
        TOO_MANY_REPLIES, BOT_FAILED, BUDGET_SPENT, ACCOUNT_LOCKED],
      PhoneErrorSchema)
  }
}
