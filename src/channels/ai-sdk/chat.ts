import type { FastifyBaseLogger, FastifyReply } from 'fastify'
import type { SessionUser } from '../../accounts/sessions.ts'
import { isUnderWay } from '../../conversations/live/endings.ts'
import type { Streams } from '../../conversations/live/streams.ts'
import type { MessageStore } from '../../conversations/messages/store.ts'
import type { Transaction } from '../../db/client.ts'
import { BOT_BUSY, MESSAGE_NOT_FOUND, NOT_THE_AUTHOR, NOT_THE_LAST_REPLY } from '../../errors.ts'
import type { Message } from '../../log/message.ts'
import type { Replies } from '../../replies/replies.ts'
import type { Exchanges } from '../exchanges/exchanges.ts'
import { namedBy } from '../exchanges/ids.ts'
import type { ExchangeStore } from '../exchanges/store.ts'
import { textOf, type UiChat } from './schema.ts'
import { createUiWire, DONE, UI_STREAM_HEADERS } from './ui-stream.ts'

export interface UiChatOptions {
  exchanges: Exchanges
  messages: Pick<MessageStore, 'get'>
  store: ExchangeStore
  generation: Replies
  streams: Streams
  /** Refuses a text that is too long for the bots of a conversation. @throws INVALID_REQUEST */
  mustFitBots: (user: number, conversation: number, text: string) => Promise<void>
}

export type UiChats = ReturnType<typeof createUiChats>

/** Maps the requests of the AI SDK's `useChat` to conversations, messages and replies. */
export function createUiChats ({ exchanges, messages, store, generation, streams, mustFitBots }: UiChatOptions) {
  return {
    find: exchanges.find,

    /** Answers a `POST` of the AI SDK with the reply, as a UI message stream. `key` names a message that has no id. */
    async answer (user: SessionUser, chat: UiChat, key: string | undefined, reply: FastifyReply, log: FastifyBaseLogger) {
      const known = await exchanges.find(user, chat.id)
      const again = known === undefined ? undefined : await askAgain(user, known, chat)
      const { conversation, message } = again ?? await submit(user, known, chat, key)
      if (message === undefined) return reply.type('text/event-stream').headers(UI_STREAM_HEADERS).send(DONE)
      return await this.stream(user, conversation, message, reply, log)
    },

    /** Sends a reply from its beginning, and as it grows. */
    async stream (user: SessionUser, conversation: number, message: Message, reply: FastifyReply, log: FastifyBaseLogger) {
      return await streams.send(reply, { user, conversation, after: message.rev - 1, until: [message], wire: createUiWire(message.id) }, log)
    },

    /** The reply that is streaming, or else the first one that is queued. */
    async underWay (conversation: number): Promise<Message | undefined> {
      const [first] = await store.underWay(conversation)
      return first
    }
  }

  /** Stores a message. A UI message stream has one message only: if several bots reply, it is the reply of the first one. */
  async function submit (user: SessionUser, known: number | undefined, { id, message }: UiChat, key: string | undefined) {
    const { conversation, messages: [, reply] } = await exchanges.say(user, known, { chat: id, text: textOf(message), field: 'message.parts', metadata: message.metadata, id: message.id ?? key })
    return { conversation, message: reply }
  }

  /** Edits a message or regenerates a reply. Undefined if the request names no stored message: then it is to be stored. */
  async function askAgain (user: SessionUser, conversation: number, chat: UiChat): Promise<{ conversation: number, message: Message | undefined } | undefined> {
    const { trigger, messageId, message } = chat
    const isRegenerate = trigger === 'regenerate-message'
    if (!isRegenerate && messageId === undefined) return undefined
    const ids = (isRegenerate ? [messageId, message.id] : [messageId]).filter(id => id !== undefined)
    const exchange = await exchanges.exchangeOf(user, conversation, ids)
    if (exchange === undefined) return undefined
    const { question, replies, isDeleted, lastRev } = exchange
    if (isDeleted) throw new MESSAGE_NOT_FOUND()
    const reply = replies.find(({ id }) => id === namedBy(conversation, messageId ?? '').id) ?? replies[0]
    const canAsk = reply !== undefined && await exchanges.canAskAgain(reply)
    try {
      return { conversation, message: isRegenerate ? await regenerate() : await edit() }
    } catch (error) {
      const now = error instanceof BOT_BUSY ? await exchanges.exchangeOf(user, conversation, ids) : undefined
      const begun = now?.replies.find(hasBegunAgain)
      if (begun === undefined) throw error
      // Another request has just asked for this reply, for example the same request sent twice. One reply is enough for both.
      if (isRegenerate || now!.question.text === textOf(message)) return { conversation, message: begun }
      return await askAgain(user, conversation, chat)
    }

    /** Whether somebody has asked for the reply again since this request has read it. A reply that is stopped has changed, too. */
    function hasBegunAgain ({ id, rev, status }: Message) {
      return id === reply?.id && rev > reply.rev && status !== 'stopped'
    }

    /** Whether nobody has asked a bot anything after this question. */
    async function isNewest () {
      const newest = await exchanges.exchangeOf(user, conversation, [])
      return newest?.question.id === question.id
    }

    async function regenerate () {
      if (question.sender === 'bot' || (reply !== undefined && !canAsk)) throw new NOT_THE_LAST_REPLY()
      return await goOnFrom({ canAsk })
    }

    /**
     * Edits the question. Where nothing changes, its reply is given as it is, unless it is incomplete: `sendMessage()` of useChat
     * sends an unchanged message again, for example after the connection was lost.
     */
    async function edit () {
      if (question.author !== user.id) throw new NOT_THE_AUTHOR()
      const text = textOf(message)
      const present = replies.find(isUnderWay) ?? (reply?.status === 'complete' ? reply : undefined)
      if (present !== undefined && text === question.text && question.parts === undefined && await isNewest()) return present
      await mustFitBots(user.id, conversation, text)
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
      const cut = { conversation, id: question.id, upTo: lastRev }
      const underWay = await store.underWay(conversation)
      if (underWay.some(hasBegunAgain)) throw new BOT_BUSY()
      if (underWay.length > 0) {
        // A request that is refused must not stop what is under way, which may be the reply to somebody else.
        await store.mustBeAllowedToCut(user.id, cut)
        if (canAsk) await generation.mustHaveBudget(user.id, { conversation, id: reply!.id })
        await generation.stop(user.id, conversation)
        await streams.ended(user, conversation, underWay)
      }
      const cutAndEdit = (tx: Transaction) => store.cutAfter(tx, user.id, { ...cut, ...text !== undefined && { text } })
      if (!canAsk) {
        await store.change(conversation, cutAndEdit)
        return reply
      }
      await generation.regenerate(user.id, { conversation, id: reply!.id }, cutAndEdit)
      return await messages.get(user.id, conversation, reply!.id)
    }
  }
}
