import { Type, type Static } from 'typebox'
import type { Server, Socket } from 'socket.io'
import { MAX_TOKEN_LENGTH } from '../../accounts/schema.ts'
import type { SessionUser } from '../../accounts/sessions.ts'
import type { Delta } from '../../log/followers.ts'
import { NewConversationSchema, UserMessageSchema } from '../../conversations/schema.ts'
import type { Message } from '../../log/message.ts'
import { Id, Rev, Text } from '../../http/schema.ts'

// The events of both directions. A chat session is a conversation.

/** `users`: the usernames of further members. `stream`: the client can show replies that grow. */
export const StartChat = Type.Partial(Type.Object({
  name: Text(200),
  bots: NewConversationSchema.properties.bots,
  users: Type.Array(Type.String({ maxLength: 64 }), { maxItems: 99, uniqueItems: true }),
  stream: Type.Boolean()
}))

export const SendMessage = Type.Object({ chat_session_id: Id, ...UserMessageSchema.properties })

export const JoinChat = Type.Object({ chat_session_id: Id, after: Type.Optional(Rev) })

/** A new token of the same user, before the session of the one that the socket has ends. */
export const AuthRefresh = Type.Object({ token: Type.String({ maxLength: MAX_TOKEN_LENGTH }) })

/** A message on sockets. `isLocal`: the user's own, sent from any of their devices. */
export interface LiveMessage extends Message { chat_session_id: number, isLocal: boolean }

export interface SocketError { error: string, code: string }

type Acknowledge<Answer> = (answer: Answer | SocketError) => void

export interface ClientToServer {
  start_chat: (chat?: Static<typeof StartChat>, acknowledge?: Acknowledge<{ chat_session_id: number }>) => void
  send_message: (message: Static<typeof SendMessage>, acknowledge?: Acknowledge<{ messages: LiveMessage[] }>) => void
  join_chat: (chat: Static<typeof JoinChat>, acknowledge?: Acknowledge<{ messages: LiveMessage[], more: boolean }>) => void
  auth_refresh: (refresh: Static<typeof AuthRefresh>, acknowledge?: Acknowledge<{ user_id: number }>) => void
}

export interface ServerToClient {
  chat_session_started: (started: { chat_session_id: number }) => void
  new_message: (message: LiveMessage) => void
  message_delta: (delta: Delta & { chat_session_id: number }) => void
  error: (refusal: SocketError) => void
}

/** A socket stores its user. Their rights are checked again for each event. */
interface SocketData { user: SessionUser }
export type LiveServer = Server<ClientToServer, ServerToClient, Record<string, never>, SocketData>
export type LiveSocket = Socket<ClientToServer, ServerToClient, Record<string, never>, SocketData>
