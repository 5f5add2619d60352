import { Type, type Static } from 'typebox'
import type { FastifyRequest } from 'fastify'
import type { IdentityStore } from '../../accounts/identity-store.ts'
import type { Config } from '../../config.ts'
import type { Converse } from '../../conversations/converse.ts'
import type { Streams } from '../../conversations/live/streams.ts'
import { BOT_FAILED, EMPTY_INPUT, INVALID_PHONE, MESSAGE_TOO_LONG } from '../../errors.ts'
import { ClientId, ErrorSchema, type ErrorBody } from '../../http/schema.ts'
import { readPhoneNumber, RULE } from '../../text/phone-number.ts'
import { isLongerThan, MAX_MESSAGE_LENGTH, trimmed } from '../../text/text.ts'

/** The longest phone number in code points, with separators. */
const MAX_PHONE_LENGTH = 200

/** A string, or a JSON number, which counts as its digits. */
const Input = (rules: object) => Type.Unsafe<string | number>({ type: ['string', 'number'], ...rules })

export const PhoneQuestionSchema = Type.Object({
  user_phone: Input({ maxLength: MAX_PHONE_LENGTH }),
  user_message: Input({ maxLength: MAX_MESSAGE_LENGTH, 'x-trimmed': true }),
  client_id: Type.Optional(ClientId)
}, { title: 'PhoneQuestion' })
export type PhoneQuestion = Static<typeof PhoneQuestionSchema>

export const PhoneAnswerSchema = Type.Object({ user_phone: Type.String(), bot_message: Type.String() }, { title: 'PhoneAnswer' })
export type PhoneAnswer = Static<typeof PhoneAnswerSchema>

/** Both of the answer's fields are optional, because errors of the guest chat do not have them. */
export const PhoneErrorSchema = Type.Object({ ...ErrorSchema.properties, ...Type.Partial(PhoneAnswerSchema).properties }, { title: 'PhoneError' })

export interface PhoneChatOptions {
  config: Pick<Config, 'PHONE_BOT'>
  identities: Pick<IdentityStore, 'identify'>
  converse: Converse
  streams: Pick<Streams, 'ended'>
}

/**
 * Answers a message of the guided chat with the bot `PHONE_BOT`. Typing a phone number proves nothing, so its digits are
 * an identity of their own, apart from any account or WhatsApp contact. `count` gets those digits and throws when there
 * were too many messages. If the bot streams its reply, this waits until the reply has ended.
 * @throws EMPTY_INPUT, INVALID_PHONE, BOT_FAILED, and what `count`, `Converse` and `Streams.ended` throw
 */
export function createPhoneChat ({ config, identities, converse, streams }: PhoneChatOptions) {
  return async function chatByPhone (question: PhoneQuestion, count: (digits: string) => Promise<void>): Promise<PhoneAnswer> {
    const phone = trimmed(String(question.user_phone))
    const text = trimmed(String(question.user_message))
    if (phone === '' || text === '') throw new EMPTY_INPUT()
    const number = readPhoneNumber(phone)
    if (number.problem !== undefined) throw new INVALID_PHONE(number.problem)
    await count(number.digits)
    const id = await identities.identify([number.digits, ...number.former], { phone: number.digits })
    const { conversation, messages } = await converse({
      author: { id, username: null }, to: { newestOf: 'phone', bot: config.PHONE_BOT }, text, clientId: question.client_id
    })
    const [, answer] = await streams.ended({ id }, conversation, messages)
    if (answer!.text === '') throw new BOT_FAILED()
    return { user_phone: phone, bot_message: answer!.text }
  }
}

/**
 * Refuses input that is too long before the schema does: the guided chat has error codes of its own for it.
 * @throws INVALID_PHONE, MESSAGE_TOO_LONG
 */
export function refuseTooLong ({ user_phone: phone, user_message: message }: { user_phone?: unknown, user_message?: unknown }) {
  if (typeof phone === 'string' && isLongerThan(MAX_PHONE_LENGTH, phone)) throw new INVALID_PHONE(`${RULE}. This one is longer than ${MAX_PHONE_LENGTH} characters`)
  if (typeof message === 'string' && isLongerThan(MAX_MESSAGE_LENGTH, message.trim())) throw new MESSAGE_TOO_LONG()
}

/** The error fields of both legacy clients: the message as `error` and as `bot_message`, and the phone number. */
export function inLegacyWords (body: ErrorBody, { body: sent }: FastifyRequest): ErrorBody & PhoneAnswer {
  const { user_phone: phone } = (sent ?? {}) as { user_phone?: unknown }
  const isEmpty = body.code === 'EMPTY_INPUT'
  const isIncomplete = body.details?.every(({ path }) => ['', 'user_phone', 'user_message'].includes(path)) ?? false
  return {
    ...body,
    error: isEmpty || isIncomplete ? "Invalid input. 'user_phone' and 'user_message' are required." : body.error,
    user_phone: typeof phone === 'string' || typeof phone === 'number' ? String(phone).slice(0, MAX_PHONE_LENGTH) : '',
    bot_message: isIncomplete ? 'Request must contain user_phone and user_message' : body.error
  }
}
