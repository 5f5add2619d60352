import { Transform, type Readable } from 'node:stream'
import type { FastifyReply, FastifyRequest, RequestPayload } from 'fastify'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import {
  ACCOUNT_LOCKED, BOT_BUSY, BOT_FAILED, BOT_NOT_FOUND, BUDGET_SPENT, CONVERSATION_NOT_FOUND, EMPTY_INPUT, IDEMPOTENCY_MISMATCH, INVALID_PHONE, INVALID_TOKEN, MESSAGE_BODY_TOO_LARGE,
  MESSAGE_NOT_FOUND, MESSAGE_TOO_LONG, MISSING_TOKEN, NOT_THE_AUTHOR, NOT_THE_LAST_REPLY, NOT_THE_OWNER, TOO_MANY_AT_ONCE, TOO_MANY_REPLIES, TOO_MANY_STREAMS, UNAUTHORIZED
} from '../../errors.ts'
import { HISTORY_BODY_LIMIT, MESSAGE_BODY_LIMIT } from '../../http/body-limits.ts'
import type { createErrorHandler, Dialect } from '../../http/error-handler.ts'
import { nothing } from '../../http/paging.ts'
import { answers, ClientIdHeader, LOGGED_IN, PLAIN_TEXT, type ErrorBody } from '../../http/schema.ts'
import type { UiChats } from '../ai-sdk/chat.ts'
import { IS_UI_CHAT, isUiChat, UiChatSchema, UiStreamSchema, withoutHistory, type UiChat } from '../ai-sdk/schema.ts'
import { createGuestChat, type GuestAnswer, GuestAnswerSchema, GuestMessageSchema, Initial, tokenOf, withStatus, type GuestChatOptions, type GuestMessage } from './guest.ts'
import { createPhoneChat, inLegacyWords, type PhoneAnswer, PhoneAnswerSchema, PhoneErrorSchema, PhoneQuestionSchema, refuseTooLong, type PhoneChatOptions, type PhoneQuestion } from './phone.ts'

export interface ChatRoutesOptions extends GuestChatOptions, PhoneChatOptions {
  config: GuestChatOptions['config'] & PhoneChatOptions['config']
  chats: UiChats
  handleErrors: (dialect: Dialect) => ReturnType<typeof createErrorHandler>
}

/** `/chat`, which serves three kinds of clients: the guided chat by phone number, without a login, guests with a token, and users of the AI SDK. */
export const chatRoutes: FastifyPluginAsyncTypebox<ChatRoutesOptions> =
  async function chatRoutes (app, { handleErrors, chats, ...options }) {
    const chatByPhone = createPhoneChat(options)
    const guests = createGuestChat(options)

    app.setErrorHandler(handleErrors((body, request) => {
      if (isUiChat(request.body)) return body.error // The AI SDK shows the body of an error as it is.
      return isFromGuest(request.body) ? withStatus(body) : inLegacyWords(body, request)
    }))

    app.removeContentTypeParser('application/json')
    app.addContentTypeParser('application/json', { parseAs: 'buffer' }, app.createJsonParser((body, bytes) => {
      if (isUiChat(body)) return withoutHistory(body)
      return bytes > MESSAGE_BODY_LIMIT ? new MESSAGE_BODY_TOO_LARGE() : body
    }))

    app.post('/chat', { ...Chat, onRequest: mayBeLarge, preParsing: countBytes, preValidation: prepare }, async (request, reply) => {
      const { headers, body, bearer, user, log } = request
      if (isUiChat(body)) return await chats.answer(user, body, headers['idempotency-key'], reply, log)
      const clientId = headers['idempotency-key'] ?? body.client_id
      if (isFromGuest(body)) return await guests.say(await app.userOf(tokenOf(body, bearer), request), body.content, clientId, reply)
      return await chatByPhone({ ...body, client_id: clientId }, digits => request.limitBy('phone', digits))
    })

    /** Only users send whole histories. A large body of anybody else is refused before it is read, or as soon as it is too large. */
    async function mayBeLarge (request: FastifyRequest) {
      const length = lengthOf(request)
      if (length !== undefined && !(length > MESSAGE_BODY_LIMIT)) return
      const user = await app.identify(request)
      if (user !== undefined) request.user = user
      else if (length !== undefined) throw new MESSAGE_BODY_TOO_LARGE()
    }

    /** A body that does not say its length is counted while it is read, unless it is a user's. */
    async function countBytes (request: FastifyRequest, _reply: FastifyReply, payload: RequestPayload) {
      if (lengthOf(request) !== undefined || (request.user as unknown)) return payload
      let bytes = 0
      const counted = payload.pipe(new Transform({
        transform (chunk: Buffer, _encoding, done) {
          bytes += chunk.length
          done(bytes > MESSAGE_BODY_LIMIT ? new MESSAGE_BODY_TOO_LARGE() : null, chunk)
        }
      }))
      payload.once('error', error => counted.destroy(error))
      return counted
    }

    async function prepare (request: FastifyRequest, reply: FastifyReply) {
      const { body } = request
      if (isUiChat(body)) {
        if (!(request.user as unknown)) {
          await app.authenticate(request)
          await reply.takeSlot(request.user.id)
        }
        reply.takeStream(request.user.id)
      } else if (!isFromGuest(body)) refuseTooLong(body ?? {})
    }

    app.get('/chat/initial', { ...Initial, errorHandler: handleErrors(withStatus) }, async ({ headers, method }, reply) => {
      const key = await guests.mustHaveKey(headers['x-api-key'])
      // HEAD must not create a guest: the response has no body, so nobody would get the token.
      if (method === 'HEAD') return reply.type('application/json; charset=utf-8').send(nothing())
      const { guestId, text } = await guests.begin(key)
      return { token: await reply.openSession(guestId, 'guest', key.serverKey && { serverKeyId: key.serverKey.id }), text }
    })
  }

/** The length of a request's body in bytes, not a number if there is none; undefined for a body that does not say its length. */
function lengthOf ({ headers }: FastifyRequest) {
  return headers['transfer-encoding'] === undefined ? Number(headers['content-length']) : undefined
}

/** Whether a body is a guest's: it has `token` or `content`, and no field of the phone chat. `ChatSchema` states the same rule as a schema. */
function isFromGuest (body: unknown): body is GuestMessage {
  const sent = Object.keys(body ?? {})
  return sent.some(name => name === 'token' || name === 'content') && !sent.some(name => name === 'user_phone' || name === 'user_message')
}

const has = (...names: string[]) => ({ anyOf: names.map(name => ({ required: [name], properties: { [name]: {} } })) })

const ChatSchema = Type.Unsafe<PhoneQuestion | GuestMessage | UiChat>({
  type: 'object',
  if: IS_UI_CHAT,
  then: UiChatSchema,
  else: {
    if: { allOf: [has('token', 'content'), { not: has('user_phone', 'user_message') }] },
    then: GuestMessageSchema,
    else: PhoneQuestionSchema
  }
})

const AnswerOrStream = Type.Unsafe<PhoneAnswer | GuestAnswer | Readable>({
  description: 'The answer, or the stream',
  content: { 'application/json': { schema: Type.Union([PhoneAnswerSchema, GuestAnswerSchema]) }, 'text/event-stream': { schema: UiStreamSchema } }
})

const ChatError = Type.Unsafe<ErrorBody | string>({ content: { 'application/json': { schema: PhoneErrorSchema }, ...PLAIN_TEXT } })

const Chat = {
  config: { limit: 'chat' as const },
  bodyLimit: HISTORY_BODY_LIMIT,
  schema: {
    operationId: 'chat',
    summary: 'Chats with the guided bot by phone number, with a bot as a guest, or as a user with the AI SDK\'s `useChat`',
    description: 'A body with `token` or `content`, and without `user_phone` and `user_message`, is a guest\'s message. ' +
      'A body with `id` and with `messages` or `message`, and with none of those four, comes from `useChat`. It needs a login, may have 4 MiB, ' +
      'and is answered with a UI message stream, version 1; an error is its sentence as plain text. Any other body is for the guided chat. ' +
      'The guided chat has no login: typing a phone number proves nothing, and the bot tells the name it knows to anybody who types that number.',
    tags: ['chat'],
    security: [{}, ...LOGGED_IN],
    headers: ClientIdHeader,
    body: ChatSchema,
    response: answers({ 200: AnswerOrStream },
      [EMPTY_INPUT, INVALID_PHONE, MESSAGE_TOO_LONG, BOT_NOT_FOUND, IDEMPOTENCY_MISMATCH, MISSING_TOKEN, INVALID_TOKEN, UNAUTHORIZED, NOT_THE_AUTHOR, NOT_THE_OWNER, CONVERSATION_NOT_FOUND, MESSAGE_NOT_FOUND, BOT_BUSY, NOT_THE_LAST_REPLY,
        TOO_MANY_AT_ONCE, TOO_MANY_REPLIES, TOO_MANY_STREAMS, BOT_FAILED, BUDGET_SPENT, ACCOUNT_LOCKED],
      ChatError)
  }
}
