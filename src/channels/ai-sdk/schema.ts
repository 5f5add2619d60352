import { Type, type Static } from 'typebox'
import { invalidRequest } from '../../http/faults.ts'
import { AnyObject, ClientId, Id, Metadata, Rev, Timestamp } from '../../http/schema.ts'
import { MessageSchema, type Message } from '../../log/message.ts'
import type { Part } from '../../text/message-parts.ts'
import { trimmed } from '../../text/text.ts'
import { frontEndId } from '../exchanges/ids.ts'

// What the AI SDK's `useChat` sends and reads, in its versions 5 and later.

const SentMessageSchema = Type.Object({
  id: Type.Optional(ClientId),
  role: Type.Optional(Type.Enum(['user', 'assistant', 'system'])),
  parts: Type.Array(AnyObject, { maxItems: 1000 }),
  metadata: Type.Optional(Metadata)
}, { title: 'SentUiMessage' })
export type SentMessage = Static<typeof SentMessageSchema>

export const UiChatSchema = Type.Object({
  id: ClientId,
  // Only the last message of a history is read, and of that only the parts of type `text`.
  messages: Type.Optional(Type.Array(AnyObject, { minItems: 1, maxItems: 100_000 })),
  message: Type.Optional(SentMessageSchema),
  trigger: Type.Optional(Type.Enum(['submit-message', 'regenerate-message'])),
  messageId: Type.Optional(ClientId)
}, { title: 'UiChat' })
/** `withoutHistory` has put the last message into `message`. */
export type UiChat = Static<typeof UiChatSchema> & { message: SentMessage }

export const UiChatParams = Type.Object({ id: ClientId })

/** Whether a body is the AI SDK's: it has `id`, it has `messages` or `message`, and no field of the other chats at `/chat`. `IS_UI_CHAT` states the same rule as a schema. */
export function isUiChat (body: unknown): body is UiChat {
  const sent = Object.keys(body ?? {})
  return sent.includes('id') && (sent.includes('messages') || sent.includes('message')) && !OTHERS.some(name => sent.includes(name))
}

const OTHERS = ['user_phone', 'user_message', 'content', 'token']
const has = (name: string) => ({ required: [name], properties: { [name]: {} } })

export const IS_UI_CHAT = { allOf: [has('id'), { anyOf: [has('messages'), has('message')] }, { not: { anyOf: OTHERS.map(has) } }] }

/** Replaces the history, which comes with each request and is not needed, by `message`, or else by its last message. A body without messages stays, and the schema refuses it. */
export function withoutHistory (body: UiChat): UiChat {
  const { messages, ...rest } = body
  if (Object.hasOwn(body, 'message')) return { ...rest, message: withOwnMetadata(body.message) }
  const last = Array.isArray(messages) ? messages.at(-1) : undefined
  return last === undefined ? body : { ...rest, message: withOwnMetadata(last) as SentMessage }
}

/** Removes what `toUiMessage` added to the metadata of a message that comes from the history. With it, the largest metadata would be refused. */
function withOwnMetadata<M extends Pick<SentMessage, 'metadata'>> (message: M): M {
  const { id, rev, username, created_at, status, failure, ...metadata } = message?.metadata ?? {}
  return typeof rev === 'number' && typeof created_at === 'string' ? { ...message, metadata } : message
}

/** The text of a user's message: its text parts, joined by newlines. @throws INVALID_REQUEST */
export function textOf ({ role, parts }: SentMessage): string {
  const refuse = (path: string, message: string) => invalidRequest([{ path: `message.${path}`, message }])
  if (role !== 'user') throw refuse('role', 'must be user')
  if (parts.some(({ type }) => type === 'file')) throw refuse('parts', 'has a file, and files cannot be sent yet')
  const text = trimmed(parts.flatMap(({ type, text }) => type === 'text' && typeof text === 'string' ? [text] : []).join('\n'))
  if (text === '') throw refuse('parts', 'has no text')
  return text
}

const { username, status, failure } = MessageSchema.properties

const UiPartSchema = Type.Object({
  type: Type.String({ description: '`text`, `reasoning`, `source-url`, or `data-` and a name' }),
  text: Type.Optional(Type.String()),
  sourceId: Type.Optional(Type.String()),
  url: Type.Optional(Type.String()),
  title: Type.Optional(Type.String()),
  data: Type.Optional(Type.Unknown())
}, { title: 'UiPart' })

export const UiMessageSchema = Type.Object({
  id: Type.String(),
  role: Type.Enum(['user', 'assistant']),
  parts: Type.Array(UiPartSchema),
  metadata: Type.Object({ id: Id, rev: Rev, username, created_at: Timestamp, status, failure }, { title: 'UiMessageMetadata', additionalProperties: true })
}, { title: 'UiMessage' })
export type UiMessage = Static<typeof UiMessageSchema>

/** The body of a UI message stream, for the description of the API. */
export const UiStreamSchema = { type: 'string', examples: ['data: {"type":"text-delta","id":"t1","delta":"Hello"}\n\n'] }

/** A part for the AI SDK, in a message and, unless it grows, in a stream. `nth` tells the sources of a message apart. */
export function toUiPart (part: Part, nth: number): Static<typeof UiPartSchema> {
  switch (part.type) {
    case 'source': return { type: 'source-url', sourceId: `s${nth}`, url: part.url, title: part.title }
    case 'choices': return { type: 'data-choices', data: part.choices }
    case 'choice': return { type: 'data-choice', data: { id: part.id, title: part.title } }
    case 'data': return { type: `data-${part.name}`, data: part.data }
    default: return part
  }
}

export function toUiMessage ({ id, rev, sender, username, text, parts, status, created_at, metadata, failure }: Message): UiMessage {
  return {
    id: frontEndId(id),
    role: sender === 'user' ? 'user' : 'assistant',
    parts: parts?.map(toUiPart) ?? (text === '' ? [] : [{ type: 'text', text }]),
    metadata: { ...metadata, id, rev, username, created_at, status, ...failure !== undefined && { failure } }
  }
}
