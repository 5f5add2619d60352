import type { SessionUser } from '../../accounts/sessions.ts'
import type { Converse } from '../../conversations/converse.ts'
import type { ConversationStore } from '../../conversations/store.ts'
import { CONVERSATION_NOT_FOUND } from '../../errors.ts'
import type { Exchange } from '../../log/log.ts'
import type { Message } from '../../log/message.ts'
import { clientIdOf, nameFrom, namedBy, numberIn } from './ids.ts'
import type { ExchangeStore, KnownExchange } from './store.ts'

export interface ExchangesOptions {
  conversations: Pick<ConversationStore, 'create'>
  exchanges: ExchangeStore
  converse: Converse
  /** Whether the bot of this name streams its replies. */
  isStreaming: (bot: string) => Promise<boolean>
}

/** A message as a front end sends it. */
interface Said {
  /** The id of the chat. */
  chat: string
  text: string
  /** What the front end calls the text, for errors about it. */
  field: string
  /** The front end's own id for the message. */
  id: string | undefined
  metadata?: Record<string, unknown> | undefined
  /** The bot to ask. Left out: those of the conversation, or the default one in a new conversation. */
  bot?: string | undefined
}

export type Exchanges = ReturnType<typeof createExchanges>

/**
 * Shared by the channels for front ends that choose their own ids (AI SDK, AG-UI). The id of a chat is the `client_id` of its
 * conversation, or the conversation's number. The histories that such front ends send are not used, because the log has them.
 */
export function createExchanges ({ conversations, exchanges, converse, isStreaming }: ExchangesOptions) {
  return {
    /**
     * The conversation of a chat. Undefined when the user has no conversation with this client id yet.
     * @throws CONVERSATION_NOT_FOUND when the id is a number and the user is in no such conversation
     */
    async find (user: SessionUser, chat: string): Promise<number | undefined> {
      const number = numberIn(chat)
      const found = await exchanges.conversation(user.id, chat, number)
      if (found === undefined && number !== null) throw new CONVERSATION_NOT_FOUND()
      return found
    },

    /** Stores a message, in a new conversation if `known` is undefined. A message with the same id is stored once. */
    async say (user: SessionUser, known: number | undefined, { chat, text, field, id, metadata, bot }: Said): Promise<Exchange> {
      const bots = bot === undefined ? {} : { bots: [bot] }
      const conversation = known ?? (await conversations.create(user, { name: nameFrom(text), client_id: chat, ...bots })).id
      return await converse({ author: user, to: { conversation }, text, field, metadata, clientId: id && clientIdOf(conversation, id), bot })
    },

    /** The exchange of the first id that names a stored message; without ids, the newest exchange. */
    async exchangeOf (user: SessionUser, conversation: number, ids: string[]): Promise<KnownExchange | undefined> {
      if (ids.length === 0) return await exchanges.exchange(user.id, conversation, { clientId: null, id: null })
      for (const id of ids) {
        const exchange = await exchanges.exchange(user.id, conversation, namedBy(conversation, id))
        if (exchange !== undefined) return exchange
      }
      return undefined
    },

    /** Whether the bot of a reply streams its replies. Others would only say the same again. */
    async canAskAgain ({ username }: Message) {
      return username !== null && await isStreaming(username)
    }
  }
}
