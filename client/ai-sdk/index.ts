import type { ChatTransport, UIMessage, UIMessageChunk } from 'ai'
import type { ParleyClient } from '../client.ts'
import type { LiveConversation } from '../conversation.ts'
import { isPassing, type ParleyError } from '../errors.ts'
import { createWaker, delayAfter } from '../waiting.ts'
import { createChunks } from './chunks.ts'

/** A conversation is named after the beginning of its first message, in code points. */
const MAX_NAME_LENGTH = 60

/**
 * A transport for `useChat` of the AI SDK, version 5 and later, over our client. Unlike with the AI SDK's own transport,
 * `stop()` stops the reply for all readers, and a lost connection is not an error: the message is sent and the reply goes on
 * when the connection is back. `useChat` shows one reply for each message: the one of the first bot.
 *
 * The id of a chat is the `client_id` of a conversation, which its first message creates, or the number of a conversation.
 */
export function createChatTransport<UI_MESSAGE extends UIMessage> (parley: ParleyClient): ChatTransport<UI_MESSAGE> {
  /** The ids of messages that were sent here, by their client ids. */
  const sentHere = new Map<string, number>()

  async function open (chatId: string, text: string, signal: AbortSignal | undefined): Promise<LiveConversation> {
    if (/^[1-9]\d{0,14}$/.test(chatId)) return parley.conversation(Number(chatId))
    const name = [...text.replace(/\s+/g, ' ').trim() || chatId].slice(0, MAX_NAME_LENGTH).join('')
    return await insist(() => parley.create({ name, client_id: chatId }), signal)
  }

  return {
    // A stream begins at the beginning of its reply, also when it is resumed.
    resumeStreamIsReplay: true,

    async sendMessages ({ chatId, trigger, messageId, messages, abortSignal }) {
      const { id, parts = [], metadata } = messages.findLast(({ role }) => role === 'user') ?? {}
      if (parts.some(({ type }) => type === 'file')) throw new Error('Files cannot be sent yet')
      const text = parts.flatMap(part => part.type === 'text' ? [part.text] : []).join('\n').trim()
      const conversation = await open(chatId, text, abortSignal)
      const clientIdOf = (id: string) => `ui:${conversation.id}:${id}`
      const numberOf = (id: string | undefined) => id === undefined ? undefined : sentHere.get(clientIdOf(id)) ?? numberIn(id)
      const isRegenerate = trigger === 'regenerate-message'
      const named = numberOf(messageId) ?? (isRegenerate ? numberOf(id) : undefined)
      if (named !== undefined || (isRegenerate && id === undefined)) return await change(named)
      // The reply to be regenerated may be that to a message which could not be sent. Then the message is sent now.
      const newest = isRegenerate ? (await readFrom()).at(-1)?.id ?? 0 : 0
      const message = await conversation.send({ text, metadata: metadata as Record<string, unknown> | undefined, clientId: clientIdOf(id!) })
      sentHere.set(clientIdOf(id!), message.id)
      if (isRegenerate && message.id <= newest) return await change(message.id)
      // A message and its replies are stored together and in this order, so the first reply has the next id.
      const reply = (await changesAfter(message.rev - 1)).find(({ id, sender }) => sender === 'bot' && id === message.id + 1)
      return streamOf(conversation, reply, abortSignal)

      /** Edits or regenerates a message in its place. Deletes the messages after it, as the AI SDK has done in its own list. */
      async function change (named: number | undefined) {
        const all = await readFrom(named)
        const target = named === undefined ? all.findLast(({ sender }) => sender === 'bot') : all.find(({ id }) => id === named)
        if (target === undefined) throw new Error('There is no such message')
        const at = all.indexOf(target)
        const after = all.slice(at + 1)
        const next = after.findIndex(({ sender }) => sender === 'user')
        const [reply] = next === -1 ? after : after.slice(0, next)
        // The newest first: with a message, the server deletes the replies to it that are still queued.
        if (next !== -1) for (const { id } of after.slice(next).reverse()) await conversation.remove(id)
        const again = target.sender === 'bot' ? target : isRegenerate ? reply : undefined
        if (again !== undefined) {
          await conversation.regenerate(again.id)
          return streamOf(conversation, again, abortSignal)
        }
        const { rev } = await conversation.edit(target.id, text)
        const isAskedAgain = (await changesAfter(rev)).some(({ id }) => id === reply?.id)
        return streamOf(conversation, reply && { id: reply.id, rev: isAskedAgain ? rev + 1 : 0 }, abortSignal)
      }

      /**
       * Reads all messages from the one with this id to the newest; without an id, the newest page. What is loaded here may be old: another
       * tab may have sent more since the last stream ended.
       */
      async function readFrom (first = Infinity) {
        const read = async (before?: number) => await insist(() => parley.request('get', '/api/conversations/{id}/messages', { path: { id: conversation.id }, query: { before } }), abortSignal)
        let page = await read()
        let all = page
        while (page.length > 0 && page[0]!.id > first) {
          page = await read(page[0]!.id)
          all = [...page, ...all]
        }
        return all
      }

      /** Reads what was stored after a rev. */
      async function changesAfter (after: number) {
        return await insist(() => parley.request('get', '/api/conversations/{id}/messages', { path: { id: conversation.id }, query: { after } }), abortSignal)
      }
    },

    async reconnectToStream ({ chatId, abortSignal }) {
      // Read the history instead of opening the chat, which would create a chat that does not exist yet.
      const history = await insist(() => parley.request('get', '/api/chat/{id}', { path: { id: chatId } }), abortSignal)
      const statusIs = (wanted: string) => history.find(({ metadata: { status } }) => status === wanted)
      const reply = statusIs('streaming') ?? statusIs('queued')
      if (reply === undefined) return null
      return streamOf(await open(chatId, '', abortSignal), reply.metadata, abortSignal)
    }
  }
}

/** Makes a request that may be repeated, until the server can be reached. @throws ParleyError when it is refused, or the signal's reason */
async function insist<T> (request: () => Promise<T>, signal = new AbortController().signal, failures = 0): Promise<T> {
  try {
    return await request()
  } catch (caught) {
    const error = caught as ParleyError
    if (!isPassing(error)) throw error
    signal.throwIfAborted() // `wait` does not notice that it was aborted before
    await createWaker().wait(delayAfter(failures, error.retryAfter), signal)
    signal.throwIfAborted()
    return await insist(request, signal, failures + 1)
  }
}

/**
 * Streams a reply as chunks, from its beginning. States with a lower `rev` belong to an earlier attempt and are ignored. Without a
 * reply the stream is empty.
 */
function streamOf (conversation: LiveConversation, reply: { id: number, rev: number } | undefined, signal: AbortSignal | undefined): ReadableStream<UIMessageChunk> {
  const over = new AbortController()
  return new ReadableStream<UIMessageChunk>({
    start (out) {
      if (reply === undefined) return out.close()
      const chunksOf = createChunks()
      let isSeen = false
      const unfollow = conversation.follow(({ messages, connection, error }) => {
        const state = messages.find(({ id, rev }) => id === reply.id && rev >= reply.rev)
        const { chunks, hasEnded } = state === undefined ? { chunks: [], hasEnded: false } : chunksOf(state)
        for (const chunk of chunks) out.enqueue(chunk)
        const isDeleted = isSeen && state === undefined
        isSeen ||= state !== undefined
        if (hasEnded || isDeleted) finish()
        else if (connection === 'failed' || connection === 'signed-out') finish(error)
      })
      over.signal.addEventListener('abort', () => unfollow())
      signal?.addEventListener('abort', stop, { signal: over.signal })
      if (over.signal.aborted) unfollow()
      else if (signal?.aborted) stop()

      /** Stops the reply for all readers. While the connection is lost, that fails, and the bot continues to write. */
      function stop () {
        conversation.stop().catch(() => { /* the history says how it ended */ })
        finish()
      }

      function finish (error?: unknown) {
        over.abort()
        if (error === undefined) out.close()
        else out.error(error)
      }
    },
    cancel: () => over.abort()
  })
}

function numberIn (messageId: string) {
  return Number(/^m([1-9]\d{0,14})$/.exec(messageId)?.[1]) || undefined
}
