import { Type, type Static } from 'typebox'
import type { Server, Socket } from 'socket.io'
import type { SessionUser } from '../../accounts/sessions.js'
import type { Delta } from '../../conversations/events.js'
import { NewConversationSchema, NewMessageSchema, type Message } from '../../conversations/schema.js'
import { Id, Rev, Text } from '../../http/schema.js'

// What goes over a socket, both ways. A chat session is a conversation.

/** Beside the one who starts it, others may take part, by their usernames. */
export const StartChat = Type.Partial(Type.Object({
  name: Text(200),
  bots: NewConversationSchema.properties.bots,
  users: Type.Array(Type.String(), { maxItems: 99, uniqueItems: true })
}))

export const SendMessage = Type.Object({ chat_session_id: Id, ...NewMessageSchema.properties })

export const JoinChat = Type.Object({ chat_session_id: Id, after: Type.Optional(Rev) })

/** A message as it shows on sockets; `isLocal` where it is the user's own, from whichever device. */
export interface LiveMessage extends Message { chat_session_id: number, isLocal: boolean }

export interface Refusal { error: string, code: string }

type Acknowledge<Answer> = (answer: Answer | Refusal) => void

export interface ClientToServer {
  start_chat: (chat?: Static<typeof StartChat>, acknowledge?: Acknowledge<{ chat_session_id: number }>) => void
  send_message: (message: Static<typeof SendMessage>, acknowledge?: Acknowledge<{ messages: LiveMessage[] }>) => void
  join_chat: (chat: Static<typeof JoinChat>, acknowledge?: Acknowledge<{ messages: LiveMessage[], more: boolean }>) => void
}

export interface ServerToClient {
  chat_session_started: (started: { chat_session_id: number }) => void
  new_message: (message: LiveMessage) => void
  message_delta: (delta: Delta & { chat_session_id: number }) => void
  error: (refusal: Refusal) => void
}

/** A socket remembers whose it is; what that user may do is asked anew for each event. */
interface SocketData { user: SessionUser }
export type LiveServer = Server<ClientToServer, ServerToClient, Record<string, never>, SocketData>
export type LiveSocket = Socket<ClientToServer, ServerToClient, Record<string, never>, SocketData>
