import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyError, FastifyInstance } from 'fastify'
import type { Socket } from 'socket.io'
import type { SessionUser, Sessions } from '../../accounts/sessions.ts'
import type { Config } from '../../config.ts'
import type { Converse } from '../../conversations/converse.ts'
import { isUnderWay } from '../../conversations/live/endings.ts'
import type { Delta, Events, Follower } from '../../log/followers.ts'
import { heardIn, type Change, type FeedStore, type Heard } from '../../log/feed-store.ts'
import { saidIn } from '../../conversations/schema.ts'
import type { UserNews } from '../../conversations/news/news.ts'
import type { ConversationStore } from '../../conversations/store.ts'
import { INVALID_MESSAGE, INVALID_REQUEST, INVALID_TOKEN, SERVER_BUSY } from '../../errors.ts'
import { createLimiter } from '../../http/limiter.ts'
import type { ErrorBody } from '../../http/schema.ts'
import { backlogOf, cutIfTooSlow, RESUME_BELOW_BYTES } from './backlog.ts'
import { TOO_LONG } from './decoder.ts'
import type { Slot } from '../../http/slots.ts'
import { AuthRefresh, JoinChat, JoinNews, SendMessage, StartChat, type ClientToServer, type LiveMessage, type LiveSocket } from './events.ts'
import { createSocketNews } from './news.ts'

export interface SocketServiceOptions {
  app: FastifyInstance
  /** The handshake's headers and address, for the list of sessions. */
  useOf: (socket: LiveSocket) => Parameters<FastifyInstance['userOf']>[1]
  config: Pick<Config, 'RATE_LIMITS'>
  sessions: Sessions
  conversations: ConversationStore
  feeds: FeedStore
  events: Events
  news: UserNews
  converse: Converse
  describe: (error: FastifyError) => ErrorBody
}

/** Events that store something. Their number is limited more strictly. */
const WRITES = new Set<keyof ClientToServer>(['start_chat', 'send_message'])

/** Handles a socket's events. The session and its rights are looked up again for each event. */
export function createSocketService ({ app, useOf, config, sessions, conversations, feeds, events, news, converse, describe }: SocketServiceOptions) {
  const checks = { start_chat: app.checkOf(StartChat), send_message: app.checkOf(SendMessage), join_chat: app.checkOf(JoinChat), join_news: app.checkOf(JoinNews), auth_refresh: app.checkOf(AuthRefresh) }
  const hasLimits = config.RATE_LIMITS === 'on'
  const writes = hasLimits ? createLimiter(20, 10) : undefined
  const requests = hasLimits ? createLimiter(600, 60) : undefined

  return function serve (socket: LiveSocket) {
    const { id: userId } = socket.data.user
    let { sessionId } = socket.data.user
    const followers = new Map<number, { follower: Follower, unfollow: () => void }>()
    /** The socket's own messages by client id. It gets these in the acknowledgement, so they are not emitted to it again. */
    const sent = new Map<string, Sent>()
    /** Resolves when no join is in progress. */
    let joining: Promise<unknown> = Promise.resolve()
    /**
     * Whether the client can show replies that grow. A client that never says so appends each `new_message` as one more
     * message: it would show a growing reply twice. It gets each reply once, whole.
     */
    let canGrow = socket.handshake.auth['stream'] === true

    const socketNews = createSocketNews(socket, news)
    let forget = watchSession()
    socket.once('disconnect', () => {
      forget()
      for (const { unfollow } of followers.values()) unfollow()
    })

    on('start_chat', async (user, { name = 'Chat', bots, users = [], stream = false }) => {
      canGrow ||= stream
      const { id } = await conversations.create(user, { name, bots, users })
      follow(id, 0)
      socket.emit('chat_session_started', { chat_session_id: id })
      return { chat_session_id: id }
    })

    on('send_message', async (user, { chat_session_id: id, text, parts, metadata, client_id: clientId = `socket:${randomUUID()}` }) => {
      const own: Sent = { isAnswered: false }
      sent.set(clientId, own)
      try {
        const { messages } = await converse({ author: user, to: { conversation: id }, ...saidIn({ text, parts }), metadata, clientId })
        const place = messages[0]!.id
        await joining
        own.isAnswered = true
        if (follow(id, place - 1).after >= place) sent.delete(clientId)
        return { messages: messages.map(message => ({ ...message, chat_session_id: id, isLocal: message.sender === 'user' })) }
      } catch (error) {
        sent.delete(clientId)
        // The message may be stored although the connection to the database broke.
        if (own.withheld !== undefined) tell(id, own.withheld)
        throw error
      }
    })

    on('join_chat', async (_user, { chat_session_id: id, after = 0 }) => {
      canGrow = true
      const joined = joining.then(() => join(id, after))
      joining = joined.catch(() => { /* the caller of join_chat gets the error */ })
      return await joined
    })

    on('join_news', async (_user, { after }) => await socketNews.join(userId, after))

    on('auth_refresh', async (_user, { token }) => {
      const user = await app.userOf(token, useOf(socket))
      if (user?.id !== userId) throw new INVALID_TOKEN()
      forget()
      sessionId = user.sessionId
      if (socket.connected) forget = watchSession()
      return { user_id: userId }
    })

    // Without an answer, a client that has mistyped the name of an event and waits for the acknowledgement would wait for ever.
    socket.onAny((event: string, ...args: unknown[]) => {
      const acknowledge = args.at(-1)
      if (Object.hasOwn(checks, event) || typeof acknowledge !== 'function') return
      const { code, error } = describe(Object.assign(new INVALID_REQUEST(), { message: 'There is no event of this name' }))
      cutIfTooSlow(socket)
      acknowledge({ code, error })
    })

    function watchSession () {
      return sessions.watch(sessionId, () => { socket.disconnect(true) })
    }

    function on<Event extends keyof ClientToServer> (
      event: Event,
      work: (user: SessionUser, input: ReturnType<typeof checks[Event]>) => Promise<object>
    ) {
      const listener = async (...args: unknown[]) => {
        const acknowledge = typeof args.at(-1) === 'function' ? args.pop() as (answer: object) => void : undefined
        let slot: Slot | undefined
        try {
          await requests?.count(userId)
          // Before it waits for a slot: hundreds of long messages would be kept in memory meanwhile.
          if (WRITES.has(event)) await writes?.count(userId)
          slot = app.enterSlot(userId, { isPatient: true })
          await slot.ready
          const user = await sessions.userOf(sessionId)
          if (user === undefined) throw new INVALID_TOKEN()
          if (app.isUnderPressure()) throw new SERVER_BUSY()
          if (args[0] === TOO_LONG) throw new INVALID_MESSAGE()
          const input = checks[event](args[0] ?? {}) as ReturnType<typeof checks[Event]>
          const answer = await work(user, input)
          cutIfTooSlow(socket)
          acknowledge?.(answer)
        } catch (error) {
          const refusal = inLegacyWords(event, describe(error as FastifyError))
          cutIfTooSlow(socket)
          socket.emit('error', refusal)
          acknowledge?.(refusal)
          if (refusal.code === 'INVALID_TOKEN') socket.disconnect(true)
        } finally {
          slot?.leave()
        }
      }
      const anySocket = socket as Socket // what comes in may be anything
      anySocket.on(event as string, listener)
    }

    /** Sends the changes after a rev, as fast as the client reads, one join at a time. Live events follow the last page. */
    async function join (id: number, after: number) {
      while (socket.connected && backlogOf(socket) > RESUME_BELOW_BYTES) await sleep(20)
      // Changes that happen meanwhile are part of what is read.
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

    /** Follows a conversation live after this rev. If it is followed already, that continues from where it is. */
    function follow (conversation: number, after: number, heard: Heard = new Map()) {
      const known = followers.get(conversation)
      if (known !== undefined) return known.follower
      const isGrowing = canGrow
      const follower: Follower = {
        user: userId,
        after,
        hear (change) {
          if (!isGrowing && isUnderWay(change)) return
          const own = change.author === userId ? sent.get(change.clientId!) : undefined
          if (own?.isAnswered) sent.delete(change.clientId!)
          if (own === undefined || change.rev > change.id) return tell(conversation, change)
          own.withheld = change
        },
        leave () { followers.delete(conversation) },
        ...isGrowing && { heard, grow }
      }
      // The socket may have disconnected in the meantime.
      if (socket.connected) followers.set(conversation, { follower, unfollow: events.follow(conversation, follower) })
      return follower

      function grow (delta: Delta) {
        cutIfTooSlow(socket)
        socket.emit('message_delta', { chat_session_id: conversation, ...delta })
      }
    }

    function tell (conversation: number, change: Change) {
      cutIfTooSlow(socket)
      socket.emit('new_message', shown(conversation, change))
    }

    function shown (conversation: number, { author, clientId, ...message }: Change): LiveMessage {
      return { ...message, chat_session_id: conversation, isLocal: author === userId }
    }
  }
}

/** A message that this socket sent. `isAnswered`: acknowledged. The log's version is kept if it arrives before that. */
interface Sent { isAnswered: boolean, withheld?: Change }

function inLegacyWords (event: keyof ClientToServer, { code, error }: ErrorBody) {
  if (code === 'CONVERSATION_NOT_FOUND') return { code: 'CHAT_SESSION_NOT_FOUND', error: 'Chat session not found' }
  if (event === 'send_message' && code.startsWith('INVALID_') && code !== 'INVALID_TOKEN') return { code: 'INVALID_MESSAGE', error }
  return { code, error }
}
