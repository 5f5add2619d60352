import { createHash } from 'node:crypto'
import { STATUS_CODES } from 'node:http'
import { Type, type Static } from 'typebox'
import type { FastifyReply } from 'fastify'
import { logAction } from '../../accounts/admin-log-store.ts'
import { asAdmin, isServerKey, type KeyStore, type ServerKey } from '../../accounts/keys/key-store.ts'
import { MAX_TOKEN_LENGTH } from '../../accounts/schema.ts'
import type { AccountStore } from '../../accounts/store.ts'
import type { SessionUser } from '../../accounts/sessions.ts'
import type { Config } from '../../config.ts'
import type { Converse } from '../../conversations/converse.ts'
import { UserText } from '../../conversations/schema.ts'
import type { ConversationStore } from '../../conversations/store.ts'
import type { Streams } from '../../conversations/live/streams.ts'
import { BOT_FAILED, BOT_NOT_FOUND, INVALID_API_KEY, INVALID_TOKEN, MISSING_API_KEY, MISSING_TOKEN } from '../../errors.ts'
import { answers, ClientId, type ErrorBody } from '../../http/schema.ts'
import { isSameSecret } from '../../text/same-secret.ts'

export const GuestMessageSchema = Type.Object({
  content: UserText,
  token: Type.Optional(Type.String({ maxLength: MAX_TOKEN_LENGTH })),
  client_id: Type.Optional(ClientId)
}, { title: 'GuestMessage' })
export type GuestMessage = Static<typeof GuestMessageSchema>

export const GuestAnswerSchema = Type.Object({ text: Type.String() }, { title: 'GuestAnswer' })
export type GuestAnswer = Static<typeof GuestAnswerSchema>

/** Longer API keys are refused without comparing them. Node itself refuses headers of more than 16 KiB. */
const MAX_KEY_LENGTH = 4096

export interface GuestChatOptions {
  config: Pick<Config, 'API_KEYS'>
  accounts: AccountStore
  /** The server keys. One with the scope `guests` lets guests in as a key of the settings does. */
  serverKeys: KeyStore
  conversations: ConversationStore
  converse: Converse
  streams: Pick<Streams, 'ended'>
}

/** The key that lets a guest in. `hash` is its SHA-256, in hexadecimal. */
interface GuestKey { hash: string, serverKey?: ServerKey }

/** Guest chat: a front end with an API key lets guests chat with one bot. A guest is identified by a token that lasts 24 hours. */
export function createGuestChat ({ config, accounts, serverKeys, conversations, converse, streams }: GuestChatOptions) {
  const keys = config.API_KEYS?.split(',').map(key => key.trim()) ?? []

  return {
    /** Checks an API key of the settings or a server key. @throws MISSING_API_KEY, INVALID_API_KEY */
    async mustHaveKey (key: string | undefined): Promise<GuestKey> {
      if (key === undefined || key === '') throw new MISSING_API_KEY()
      if (key.length > MAX_KEY_LENGTH) throw new INVALID_API_KEY()
      // Compare all keys, so that the response time does not reveal which one matched.
      const isKnown = keys.map(known => isSameSecret(key, known)).includes(true)
      if (isKnown) return { hash: createHash('sha256').update(key).digest('hex') }
      const serverKey = isServerKey(key) ? await serverKeys.find(key) : undefined
      if (!serverKey?.scopes.includes('guests')) throw new INVALID_API_KEY()
      return { hash: serverKey.hash, serverKey }
    },

    /** Creates a guest, and a conversation that begins with the bot's greeting. @throws BOT_NOT_FOUND */
    async begin ({ hash, serverKey }: GuestKey): Promise<{ guestId: number, text: string }> {
      return await accounts.createGuest(hash, async (guestId, tx) => {
        if (serverKey !== undefined) await logAction(tx, asAdmin(serverKey), 'user.create', { userId: guestId })
        return { guestId, text: await conversations.createGreeted(guestId, tx) }
      })
    },

    /** @throws INVALID_TOKEN, CONVERSATION_NOT_FOUND, BOT_NOT_FOUND, and what `Converse` throws */
    async say (guest: SessionUser | undefined, text: string, clientId: string | undefined, reply: Pick<FastifyReply, 'takeSlot' | 'leaveSlot'>) {
      if (guest?.kind !== 'guest') throw new INVALID_TOKEN()
      await reply.takeSlot(guest.id)
      const conversation = await conversations.newestOfGuest(guest.id)
      const { messages } = await converse({ author: guest, to: { conversation }, text, field: 'content', clientId })
      reply.leaveSlot()
      const [, answer] = await streams.ended(guest, conversation, messages)
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

/** The legacy format: code, name, colon, sentence. @see docs/compatibility.md */
export function withStatus (body: ErrorBody): ErrorBody {
  return { ...body, error: `${body.statusCode} ${STATUS_CODES[body.statusCode]}: ${body.error}` }
}

export const Initial = {
  schema: {
    operationId: 'beginGuestChat',
    summary: 'Starts a guest chat: answers with a token and the bot\'s greeting',
    tags: ['chat'],
    headers: Type.Object({ 'x-api-key': Type.Optional(Type.String({ maxLength: 16 * 1024 })) }),
    response: answers({ 200: Type.Object({ token: Type.String(), text: Type.String() }, { title: 'GuestToken' }) }, [MISSING_API_KEY, INVALID_API_KEY, BOT_NOT_FOUND])
  }
}
