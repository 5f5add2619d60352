import type { FastifyBaseLogger, FastifyReply } from 'fastify'
import type { SessionUser } from '../../accounts/sessions.ts'
import { isUnderWay } from '../../conversations/live/endings.ts'
import type { Streams } from '../../conversations/live/streams.ts'
import type { MessageStore } from '../../conversations/messages/store.ts'
import { BOT_BUSY, IDEMPOTENCY_MISMATCH } from '../../errors.ts'
import type { Message } from '../../log/message.ts'
import type { Replies } from '../../replies/replies.ts'
import type { MessageKey } from '../../replies/store.ts'
import type { Exchanges } from '../exchanges/exchanges.ts'
import { clientIdOf, frontEndId, prefixOf } from '../exchanges/ids.ts'
import type { ExchangeStore, KnownExchange } from '../exchanges/store.ts'
import { askedIn, placesOf, toAgUiMessages, type AgUiMessage, type RunInput } from './schema.ts'
import { createAgUiWire } from './wire.ts'

export interface RunsOptions {
  exchanges: Exchanges
  store: ExchangeStore
  messages: Pick<MessageStore, 'get' | 'page'>
  generation: Pick<Replies, 'regenerate'>
  streams: Pick<Streams, 'send'>
}

/** What a run sends: replies of a conversation, which may be under way, after the history if the client is to load it. */
interface Shown { conversation: number, replies: Message[], history?: AgUiMessage[] }

/** How many messages a client that loads a thread gets. They have about 1 MiB at most. */
const MAX_HISTORY = 200

export type Runs = ReturnType<typeof createRuns>

/** Maps the runs of AG-UI to conversations, messages and replies. A thread is a conversation, and a run asks for one exchange. */
export function createRuns ({ exchanges, store, messages, generation, streams }: RunsOptions) {
  return {
    find: exchanges.find,

    /**
     * Answers a run with its replies as a stream of events. `bot` is the one to ask; left out: those of the conversation. A run
     * whose last message is not the user's stores nothing: it loads the thread, and follows the replies that are under way.
     */
    async run (user: SessionUser, input: RunInput, bot: string | undefined, reply: FastifyReply, log: FastifyBaseLogger) {
      const { threadId, runId } = input
      const known = await exchanges.find(user, threadId)
      const asked = askedIn(input)
      const shown = asked === undefined ? await load(user, known, input) : await again(user, known, runId, asked) ?? await say(user, known, input, asked, bot)
      if (shown === undefined) return reply.type('text/event-stream').send(createAgUiWire({ threadId, runId, replies: [] }).begin)
      const { conversation, replies, history } = shown
      const wire = createAgUiWire({ threadId, runId, replies: replies.map(({ id }) => id), ...history && { history } })
      const after = replies.length === 0 ? undefined : Math.min(...replies.map(({ rev }) => rev)) - 1
      return await streams.send(reply, { user, conversation, after, until: replies, wire }, log)
    }
  }

  async function load (user: SessionUser, conversation: number | undefined, input: RunInput): Promise<Shown | undefined> {
    if (conversation === undefined) return undefined
    const { page } = await messages.page(user.id, conversation, { limit: MAX_HISTORY })
    const all = page.map(({ json }) => JSON.parse(json) as Message)
    const replies = all.filter(isUnderWay)
    // Clients keep messages whose ids they know in their place, and add all others behind them.
    const ownIds = await store.ownIds(user.id, { conversation, id: all[0]?.id ?? 0 })
    const history = all.flatMap(message => isUnderWay(message) ? placesOf(message, input) : toAgUiMessages(message, ownIds.get(message.id)))
    return { conversation, replies, history }
  }

  async function say (user: SessionUser, known: number | undefined, { threadId, runId }: RunInput, asked: { id: string, text: string }, bot: string | undefined): Promise<Shown> {
    const { conversation, messages: [question, ...replies] } = await exchanges.say(user, known, { chat: threadId, field: 'messages.content', bot, ...asked })
    if (replies.some(isUnderWay)) await store.begin(runId, { conversation, id: question!.id })
    return { conversation, replies }
  }

  /** The exchange of a message that is stored already. Undefined if it is not. */
  async function again (user: SessionUser, conversation: number | undefined, run: string, asked: { id: string, text: string }): Promise<Shown | undefined> {
    if (conversation === undefined) return undefined
    const exchange = await exchanges.exchangeOf(user, conversation, [asked.id])
    if (exchange === undefined || !isCalled(exchange, user, conversation, asked.id)) return undefined
    // The text of a deleted message is empty.
    if (exchange.question.text !== asked.text) throw new IDEMPOTENCY_MISMATCH()
    const last = exchange.replies.at(-1)
    if (last === undefined || isFollowed(exchange, run) || !await exchanges.canAskAgain(last)) return { conversation, replies: exchange.replies }
    if (last.clientId === null && exchange.question.clientId === clientIdOf(conversation, asked.id)) {
      // The run that stored the message has not stored its own id yet. This is the same run, or a new one that is too early to ask again.
      await store.begin(run, { conversation, id: exchange.question.id })
      return { conversation, replies: exchange.replies }
    }
    return { conversation, replies: [...exchange.replies.slice(0, -1), await askAgain(user, run, { conversation, id: last.id })] }
  }

  /** Asks again for a reply, and gives it as it is then. If the same run, or another one, has just done so, it is followed. */
  async function askAgain (user: SessionUser, run: string, reply: MessageKey): Promise<Message> {
    let isRepeated = false
    let busy: unknown
    try {
      await generation.regenerate(user.id, reply, async tx => {
        isRepeated = !await store.beginAgain(tx, user.id, run, reply)
        if (isRepeated) throw new BOT_BUSY()
      })
    } catch (error) {
      if (!(error instanceof BOT_BUSY)) throw error
      busy = error
    }
    const now = await messages.get(user.id, reply.conversation, reply.id)
    if (busy !== undefined && !isRepeated && !isUnderWay(now)) throw busy
    return now
  }

  /**
   * Whether the question of an exchange has this id in the client's list: the client's own id if it gave one, or else `frontEndId`.
   * Otherwise it is a new message, to which the client has given an id that looks like ours.
   */
  function isCalled ({ question: { id, sender, author, clientId } }: KnownExchange, user: SessionUser, conversation: number, called: string) {
    if (sender === 'bot') return false
    if (author === user.id && clientId?.startsWith(prefixOf(conversation))) return clientId === clientIdOf(conversation, called)
    return frontEndId(id) === called
  }

  /** Whether a run follows the replies as they are: they are under way, or the same run has asked for them. */
  function isFollowed ({ replies }: KnownExchange, run: string) {
    return replies.some(isUnderWay) || replies.at(-1)!.clientId === run
  }
}
