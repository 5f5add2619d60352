import { Type, type Static } from 'typebox'
import type { FastifyRequest } from 'fastify'
import type { AccountStore } from '../../accounts/store.js'
import type { Converse } from '../../conversations/converse.js'
import { EMPTY_INPUT, INVALID_PHONE, MESSAGE_TOO_LONG } from '../../errors.js'
import { ClientId, ErrorSchema, type ErrorBody } from '../../http/schema.js'

/** A number is taken as its digits. */
const Input = Type.Unsafe<string | number>({ type: ['string', 'number'] })

export const PhoneQuestionSchema = Type.Object({
  user_phone: Input,
  user_message: Input,
  client_id: Type.Optional(ClientId)
})
export type PhoneQuestion = Static<typeof PhoneQuestionSchema>

export const PhoneAnswerSchema = Type.Object({ user_phone: Type.String(), bot_message: Type.String() })
export type PhoneAnswer = Static<typeof PhoneAnswerSchema>

/** A guest's errors have neither field. */
export const PhoneErrorSchema = Type.Object({ ...ErrorSchema.properties, ...Type.Partial(PhoneAnswerSchema).properties })

const BOT = 'favorite-song'

/**
 * Answers a message of the guided chat. Whoever types a phone number has proved nothing: its digits are an identity
 * of their own, which is no account's and no WhatsApp contact's. `count` is told those digits, and may refuse them.
 * @throws EMPTY_INPUT, INVALID_PHONE, MESSAGE_TOO_LONG, and what `count` and `Converse` throw
 */
export function createPhoneChat (accounts: AccountStore, converse: Converse) {
  return async function chatByPhone (question: PhoneQuestion, count: (digits: string) => Promise<void>): Promise<PhoneAnswer> {
    const phone = String(question.user_phone).trim()
    const text = String(question.user_message).trim()
    if (phone === '' || text === '') throw new EMPTY_INPUT()
    const address = digitsOf(phone)
    await count(address)
    if ([...text].length > 8000) throw new MESSAGE_TOO_LONG()
    const id = await accounts.identify('phone', address)
    const { messages: [, answer] } = await converse({
      author: { id, username: null }, to: { newestOf: 'phone', bot: BOT }, text, clientId: question.client_id
    })
    return { user_phone: phone, bot_message: answer!.text }
  }
}

/** 3 to 15 digits, as E.164 has them; spaces, dots, dashes and brackets are for the eye. */
function digitsOf (phone: string) {
  const [, digits] = /^\+?(\d{3,15})$/.exec(phone.replace(/[\s.\p{Pd}()[\]{}]/gu, '')) ?? []
  if (digits === undefined) throw new INVALID_PHONE()
  return digits
}

/** Both seeds' error fields: what is wrong as `error` and as `bot_message`, and the number that it is about. */
export function inBothSeedsWords (body: ErrorBody, { body: sent }: FastifyRequest): ErrorBody & PhoneAnswer {
  const { user_phone: phone } = (sent ?? {}) as { user_phone?: unknown }
  const isEmpty = body.code === 'EMPTY_INPUT'
  const isIncomplete = body.details?.every(({ path }) => ['', 'user_phone', 'user_message'].includes(path)) ?? false
  return {
    ...body,
    error: isEmpty || isIncomplete ? "Invalid input. 'user_phone' and 'user_message' are required." : body.error,
    user_phone: typeof phone === 'string' || typeof phone === 'number' ? String(phone) : '',
    bot_message: isIncomplete ? 'Request must contain user_phone and user_message' : body.error
  }
}
