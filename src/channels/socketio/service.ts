import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyError, FastifyInstance } from 'fastify'
import type { Socket } from 'socket.io'
import type { SessionUser, Sessions } from '../../accounts/sessions.js'
import type { Config } from '../../config.js'
import type { Converse } from '../../conversations/converse.js'
import type { Events, Follower } from '../../conversations/events.js'
import { heardIn, type Change, type FeedStore } from '../../conversations/feed-store.js'
import type { ConversationStore } from '../../conversations/store.js'
import { INVALID_TOKEN, NOT_FOR_GUESTS, SERVER_BUSY, TOO_MANY_REQUESTS } from '../../errors.js'
import type { ErrorBody } from '../../http/schema.js'
import { JoinChat, SendMessage, StartChat, type ClientToServer, type LiveMessage, type LiveSocket } from './events.js'
import { createPace } from './pace.js'

export interface SocketServiceOptions {
  app: FastifyInstance
  config: Pick<Config, 'RATE_LIMITS'>
  sessions: Sessions
  conversations: ConversationStore
  feeds: FeedStore
  events: Events
  converse: Converse
  describe: (error: FastifyError) => ErrorBody
}

/** A client that has so much to read yet, in bytes, is too slow: it comes back and catches up. */
const BACKLOG = 1024 * 1024

/** One that has no more to read yet than this gets what it has missed, in bytes. */
const CAUGHT_UP = 256 * 1024

/** What a socket's events do. Who asks, and what it may see, is looked up anew for each of them. */
export function createSocketService ({ app, config, sessions, conversations, feeds, events, converse, describe }: SocketServiceOptions) {
  const checks = { start_chat: app.checkOf(StartChat), send_message: app.checkOf(SendMessage), join_chat: app.checkOf(JoinChat) }
  const mayWrite = config.RATE_LIMITS === 'off' ? () => true : createPace(20, 10_000)
  const mayAsk = config.RATE_LIMITS === 'off' ? () => true : createPace(600, 60_000)

  return function serve (socket: LiveSocket) {
    const { sessionId, id: userId } = socket.data.user
    const followers = new Map<number, { follower: Follower, unfollow: () => void }>()
    /** Of the messages that this socket sends, by their client ids: it has them from the acknowledgement. */
    const sent = new Map<string, Sent>()
    /** Ends when no conversation is being joined. */
    let joining: Promise<unknown> = Promise.resolve()

    const forget = sessions.watch(sessionId, () => { socket.disconnect(true) })
    socket.once('disconnect', () => {
      forget()
      for (const { unfollow } of followers.values()) unfollow()
    })

    on('start_chat', async (user, { name = 'Chat', bots, users = [] }) => {
      if (user.isGuest && users.length > 0) throw new NOT_FOR_GUESTS()
      if (!mayWrite(userId)) throw new TOO_MANY_REQUESTS()
      const { id } = await conversations.create(userId, { name, bots, users })
      follow(id, 0)
      socket.emit('chat_session_started', { chat_session_id: id })
      return { chat_session_id: id }
    })

    on('send_message', async (user, { chat_session_id: id, text, client_id: clientId = `socket:${randomUUID()}` }) => {
      if (!mayWrite(userId)) throw new TOO_MANY_REQUESTS()
      const own: Sent = { isAnswered: false }
      sent.set(clientId, own)
      try {
        const { messages } = await converse({ author: user, to: { conversation: id }, text, clientId })
        const place = messages[0]!.id
        await joining
        own.isAnswered = true
        if (follow(id, place - 1).after >= place) sent.delete(clientId)
        return { messages: messages.map(message => ({ ...message, chat_session_id: id, isLocal: message.sender === 'user' })) }
      } catch (error) {
        sent.delete(clientId)
        // The connection to the database may break when the message is in the log already.
        if (own.withheld !== undefined) tell(id, own.withheld)
        throw error
      }
    })

    on('join_chat', async (_user, { chat_session_id: id, after = 0 }) => {
      const joined = joining.then(() => join(id, after))
      joining = joined.catch(() => { /* whoever asked is told */ })
      return await joined
    })

    function on<Event extends keyof ClientToServer> (
      event: Event,
      work: (user: SessionUser, input: ReturnType<typeof checks[Event]>) => Promise<object>
    ) {
      const listener = async (...args: unknown[]) => {
        const acknowledge = typeof args.at(-1) === 'function' ? args.pop() as (answer: object) => void : undefined
        try {
          const user = await sessions.userOf(sessionId)
          if (user === undefined) throw new INVALID_TOKEN()
          if (!mayAsk(userId)) throw new TOO_MANY_REQUESTS()
          if (app.isUnderPressure()) throw new SERVER_BUSY()
          const input = checks[event](args[0] ?? {}) as ReturnType<typeof checks[Event]>
          const answer = await work(user, input)
          acknowledge?.(answer)
        } catch (error) {
          const refusal = inTheSeedsWords(event, describe(error as FastifyError))
          socket.emit('error', refusal)
          acknowledge?.(refusal)
          if (refusal.code === 'INVALID_TOKEN') socket.disconnect(true)
        }
        cutIfTooSlow(socket)
      }
      const anySocket = socket as Socket // what comes in may be anything
      anySocket.on(event as string, listener)
    }

    /** What changed after a rev, one conversation after the other, as fast as the client reads; the last page is where it goes on live. */
    async function join (id: number, after: number) {
      while (socket.connected && backlogOf(socket) > CAUGHT_UP) await sleep(20)
      // What comes live meanwhile is among what is read.
      const live = followers.get(id)
      live?.unfollow()
      let from = live?.follower.after
      let heard = live?.follower.heard
      try {
        const news = await feeds.newsFor(userId, id, after)
        const { changes, streaming, more, lastRev } = news
        if (!more) {
          from = Math.max(from ?? 0, changes.at(-1)?.rev ?? Math.min(after, lastRev))
          heard = heardIn(news)
        }
        return { messages: [...streaming, ...changes].map(change => shown(id, change)), more }
      } finally {
        followers.delete(id)
        if (from !== undefined) follow(id, from, heard)
      }
    }

    /** Live from this rev on; a conversation that is followed already goes on from where it is. */
    function follow (conversation: number, after: number, heard = new Map<number, number>()) {
      const known = followers.get(conversation)
      if (known !== undefined) return known.follower
      const follower: Follower = {
        user: userId,
        after,
        heard,
        hear (change) {
          const own = change.author === userId ? sent.get(change.clientId!) : undefined
          if (own?.isAnswered) sent.delete(change.clientId!)
          if (own === undefined || change.rev > change.id) return tell(conversation, change)
          own.withheld = change
        },
        grow (delta) {
          socket.emit('message_delta', { chat_session_id: conversation, ...delta })
          cutIfTooSlow(socket)
        },
        leave () { followers.delete(conversation) }
      }
      // It may have gone while it was answered.
      if (socket.connected) followers.set(conversation, { follower, unfollow: events.follow(conversation, follower) })
      return follower
    }

    function tell (conversation: number, change: Change) {
      socket.emit('new_message', shown(conversation, change))
      cutIfTooSlow(socket)
    }

    function shown (conversation: number, { author, clientId, ...message }: Change): LiveMessage {
      return { ...message, chat_session_id: conversation, isLocal: author === userId }
    }
  }
}

/** A message of the socket's own, whether it was acknowledged, and as the log has it when that comes first. */
interface Sent { isAnswered: boolean, withheld?: Change }

/** What waits for a client, here and in its connection, in bytes. */
function backlogOf ({ conn }: LiveSocket) {
  const packets = conn['writeBuffer'] as Array<{ data?: string }>
  return packets.reduce((sum, { data = '' }) => sum + Buffer.byteLength(data), connectionOf(conn)?.bufferedAmount ?? 0)
}

/** One that does not read would not read a goodbye either. */
function cutIfTooSlow (socket: LiveSocket) {
  if (!socket.connected || backlogOf(socket) <= BACKLOG) return
  const connection = connectionOf(socket.conn)
  socket.disconnect(true)
  socket.conn.close(true)
  connection?.terminate()
}

/** The WebSocket; undefined where the client polls. */
function connectionOf ({ transport }: LiveSocket['conn']) {
  return (transport as { socket?: { bufferedAmount: number, terminate: () => void } }).socket
}

function inTheSeedsWords (event: keyof ClientToServer, { code, error }: ErrorBody) {
  if (code === 'CONVERSATION_NOT_FOUND') return { code: 'CHAT_SESSION_NOT_FOUND', error: 'Chat session not found' }
  if (event === 'send_message' && code.startsWith('INVALID_') && code !== 'INVALID_TOKEN') return { code: 'INVALID_MESSAGE', error }
  return { code, error }
}
