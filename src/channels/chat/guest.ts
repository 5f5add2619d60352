import { createHash, timingSafeEqual } from 'node:crypto'
import { STATUS_CODES } from 'node:http'
import { Type, type Static } from 'typebox'
import type { AccountStore } from '../../accounts/store.js'
import type { SessionUser } from '../../accounts/sessions.js'
import type { Config } from '../../config.js'
import type { Converse } from '../../conversations/converse.js'
import type { ConversationStore } from '../../conversations/store.js'
import type { Streams } from '../../conversations/streams.js'
import { BOT_FAILED, BOT_NOT_FOUND, INVALID_API_KEY, INVALID_TOKEN, MISSING_API_KEY, MISSING_TOKEN } from '../../errors.js'
import { answers, ClientId, type ErrorBody, Text } from '../../http/schema.js'

export const GuestMessageSchema = Type.Object({
  content: Text(8000),
  token: Type.Optional(Type.String()),
  client_id: Type.Optional(ClientId)
})
export type GuestMessage = Static<typeof GuestMessageSchema>

export const GuestAnswerSchema = Type.Object({ text: Type.String() })

export interface GuestChatOptions {
  config: Pick<Config, 'API_KEYS' | 'GUEST_BOT'>
  accounts: AccountStore
  conversations: ConversationStore
  converse: Converse
  streams: Pick<Streams, 'ended'>
}

/** Guests: whoever comes with an API key may chat with one bot, and is known by a token that lasts 24 hours. */
export function createGuestChat ({ config, accounts, conversations, converse, streams }: GuestChatOptions) {
  const keys = config.API_KEYS?.split(',').map(key => digest(key.trim())) ?? []

  return {
    /** @throws MISSING_API_KEY, INVALID_API_KEY */
    mustHaveKey (key: string | undefined) {
      if (key === undefined || key === '') throw new MISSING_API_KEY()
      const given = digest(key)
      // Every key is compared, and each in constant time.
      const isKnown = keys.map(known => timingSafeEqual(known, given)).includes(true)
      if (!isKnown) throw new INVALID_API_KEY()
    },

    /** Makes a guest, and a conversation that the bot opens. @throws BOT_NOT_FOUND */
    async begin (): Promise<{ guestId: number, text: string }> {
      return await accounts.createGuest(async (guestId, tx) =>
        ({ guestId, text: await conversations.createGreeted(guestId, config.GUEST_BOT, tx) }))
    },

    /** @throws INVALID_TOKEN, CONVERSATION_NOT_FOUND, BOT_NOT_FOUND, and what `Converse` throws */
    async say (guest: SessionUser | undefined, text: string, clientId: string | undefined) {
      if (guest?.kind !== 'guest') throw new INVALID_TOKEN()
      const conversation = await conversations.newestOfGuest(guest.id)
      const { messages } = await converse({ author: guest, to: { conversation }, text, clientId })
      const [, answer] = await streams.ended(guest.id, conversation, messages)
      if (answer === undefined) throw new BOT_NOT_FOUND()
      if (answer.text === '') throw new BOT_FAILED()
      return { text: answer.text }
    }
  }
}

/** @throws MISSING_TOKEN */
export function tokenOf ({ token }: GuestMessage, bearer: string | undefined): string {
  const given = token || bearer
  if (!given) throw new MISSING_TOKEN()
  return given
}

function digest (key: string) {
  return createHash('sha256').update(key).digest()
}

/** The seed's words: code, name, colon, sentence. */
export function withStatus (body: ErrorBody): ErrorBody {
  return { ...body, error: `${body.statusCode} ${STATUS_CODES[body.statusCode]}: ${body.error}` }
}

export const Initial = {
  exposeHeadRoute: false,
  schema: {
    summary: 'Lets a guest in: a token, and what the bot says first',
    tags: ['chat'],
    headers: Type.Object({ 'x-api-key': Type.Optional(Type.String()) }),
    response: answers({ 200: Type.Object({ token: Type.String(), text: Type.String() }) }, [MISSING_API_KEY, INVALID_API_KEY, BOT_NOT_FOUND])
  }
}
