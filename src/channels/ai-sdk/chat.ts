import type { FastifyBaseLogger, FastifyReply } from 'fastify'
import type { SessionUser } from '../../accounts/sessions.ts'
import type { Converse } from '../../conversations/converse.ts'
import type { Streams } from '../../conversations/live/streams.ts'
import type { MessageStore } from '../../conversations/messages/store.ts'
import type { ConversationStore } from '../../conversations/store.ts'
import type { Transaction } from '../../db/client.ts'
import { CONVERSATION_NOT_FOUND, NOT_THE_AUTHOR, NOT_THE_LAST_REPLY } from '../../errors.ts'
import type { Message } from '../../log/message.ts'
import type { Replies } from '../../replies/replies.ts'
import { cut, trimmed } from '../../text/text.ts'
import type { ExchangeStore, Named, UiExchange } from './exchange-store.ts'
import { textOf, type UiChat } from './schema.ts'
import { createUiWire, DONE, UI_STREAM_HEADERS } from './ui-stream.ts'

export interface UiChatOptions {
  conversations: Pick<ConversationStore, 'create'>
  messages: Pick<MessageStore, 'get'>
  exchanges: ExchangeStore
  converse: Converse
  generation: Replies
  streams: Streams
  /** Refuses a text that is too long for the bots of a conversation. @throws INVALID_REQUEST */
  mustFitBots: (conversation: number, text: string) => Promise<void>
  /** Whether the bot of this name streams its replies. */
  isStreaming: (bot: string) => Promise<boolean>
}

export type UiChats = ReturnType<typeof createUiChats>

/** A new conversation is named after the beginning of its first message, in code points, unless nothing in it can be seen. */
const MAX_NAME_LENGTH = 60

/**
 * Maps the requests of the AI SDK's `useChat` to conversations, messages and replies. The id of a chat is the `client_id` of
 * its conversation, or the conversation's number. The history in a request is not used, because the log has it.
 */
export function createUiChats ({ conversations, messages, exchanges, converse, generation, streams, mustFitBots, isStreaming }: UiChatOptions) {
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

    /** Answers a `POST` of the AI SDK with the reply, as a UI message stream. */
    async answer (user: SessionUser, chat: UiChat, reply: FastifyReply, log: FastifyBaseLogger) {
      const known = await this.find(user, chat.id)
      const again = known === undefined ? undefined : await askAgain(user, known, chat)
      const { conversation, message } = again ?? await submit(user, known, chat)
      if (message === undefined) return reply.type('text/event-stream').headers(UI_STREAM_HEADERS).send(DONE)
      return await this.stream(user, conversation, message, reply, log)
    },

    /** Sends a reply from its beginning, and as it grows. */
    async stream (user: SessionUser, conversation: number, message: Message, reply: FastifyReply, log: FastifyBaseLogger) {
      return await streams.send(reply, { user, conversation, after: message.rev - 1, until: [message], wire: createUiWire(message.id) }, log)
    },

    /** The reply that is streaming, or else the first one that is queued. */
    async underWay (conversation: number): Promise<Message | undefined> {
      const [first] = await exchanges.underWay(conversation)
      return first
    }
  }

  /** Stores a message. A UI message stream has one message only: if several bots reply, it is the reply of the first one. */
  async function submit (user: SessionUser, known: number | undefined, { id, message }: UiChat) {
    const text = textOf(message)
    const conversation = known ?? (await conversations.create(user, { name: nameFrom(text), client_id: id })).id
    const clientId = message.id && clientIdOf(conversation, message.id)
    const { messages: [, reply] } = await converse({ author: user, to: { conversation }, text, field: 'message.parts', metadata: message.metadata, clientId })
    return { conversation, message: reply }
  }

  /** Edits a message or regenerates a reply. Undefined if the request names no stored message: then it is to be stored. */
  async function askAgain (user: SessionUser, conversation: number, { trigger, messageId, message }: UiChat) {
    const isRegenerate = trigger === 'regenerate-message'
    if (!isRegenerate && messageId === undefined) return undefined
    const ids = isRegenerate ? [messageId, message.id] : [messageId]
    const exchange = await findExchange(user, conversation, ids.filter(id => id !== undefined))
    if (exchange === undefined) return undefined
    const { question, replies, lastRev } = exchange
    const reply = replies.find(({ id }) => id === namedBy(conversation, messageId ?? '').id) ?? replies[0]
    const canAsk = reply !== undefined && await canAskAgain(reply)
    return { conversation, message: isRegenerate ? await regenerate() : await edit() }

    async function regenerate () {
      if (reply !== undefined && !canAsk) throw new NOT_THE_LAST_REPLY()
      return await goOnFrom({ canAsk })
    }

    async function edit () {
      if (question.author !== user.id) throw new NOT_THE_AUTHOR()
      const text = textOf(message)
      await mustFitBots(conversation, text)
      return await goOnFrom({ text, canAsk }).catch(async error => {
        // The bot has left the conversation, or somebody has sent a message meanwhile. The reply stays, as when a message is edited elsewhere.
        if (error instanceof NOT_THE_LAST_REPLY) return await goOnFrom({ text, canAsk: false })
        throw error
      })
    }

    /**
     * Deletes what follows this exchange, as the client has done in its own list, changes the text of the question if there
     * is a new one, and asks the bot again. If the bot cannot be asked, nothing is changed.
     */
    async function goOnFrom ({ text, canAsk }: { text?: string, canAsk: boolean }) {
      const underWay = await exchanges.underWay(conversation)
      if (underWay.length > 0) {
        await generation.stop(user.id, conversation)
        await streams.ended(user.id, conversation, underWay)
      }
      const cutAndEdit = (tx: Transaction) => exchanges.cutAfter(tx, user.id, { conversation, id: question.id, upTo: lastRev, ...text !== undefined && { text } })
      if (!canAsk) {
        await exchanges.change(conversation, cutAndEdit)
        return reply
      }
      await generation.regenerate(user.id, { conversation, id: reply!.id }, cutAndEdit)
      return await messages.get(user.id, conversation, reply!.id)
    }
  }

  async function canAskAgain ({ username }: Message) {
    return username !== null && await isStreaming(username)
  }

  /** The exchange of the first id that names a stored message; without ids, the newest exchange. */
  async function findExchange (user: SessionUser, conversation: number, ids: string[]): Promise<UiExchange | undefined> {
    if (ids.length === 0) return await exchanges.exchange(user.id, conversation, { clientId: null, id: null })
    for (const id of ids) {
      const exchange = await exchanges.exchange(user.id, conversation, namedBy(conversation, id))
      if (exchange !== undefined) return exchange
    }
    return undefined
  }
}

/** A number in its usual form, which names a conversation. */
function numberIn (id: string) {
  return /^[1-9]\d{0,14}$/.test(id) ? Number(id) : null
}

/** A message's id in the AI SDK is made up by the client, or made by `uiId`. */
function namedBy (conversation: number, id: string): Named {
  return { clientId: clientIdOf(conversation, id), id: id.startsWith('m') ? numberIn(id.slice(1)) : null }
}

/** The AI SDK's ids are unique in a chat, and a `client_id` is unique for its author. So the conversation is part of it. */
function clientIdOf (conversation: number, id: string) {
  return `ui:${conversation}:${id}`
}

function nameFrom (text: string) {
  return trimmed(cut(text.slice(0, 4 * MAX_NAME_LENGTH).replace(/\s+/g, ' '), MAX_NAME_LENGTH)) || 'Chat'
}
