import { Type, type Static } from 'typebox'
import { invalidRequest } from '../../http/faults.ts'
import { AnyObject, ClientId } from '../../http/schema.ts'
import type { Message } from '../../log/message.ts'
import { trimmed } from '../../text/text.ts'
import { growingPartsOf } from '../../text/message-parts.ts'
import { frontEndId } from '../exchanges/ids.ts'

// What clients of AG-UI send, in version 1.0 of the protocol. `RunAgentInput` has more fields, which this server does not use.
// @see https://docs.ag-ui.com/sdk/js/core/types

export const RunInputSchema = Type.Object({
  threadId: ClientId,
  runId: ClientId,
  messages: Type.Array(AnyObject, { maxItems: 100_000 })
}, { title: 'RunAgentInput' })
/** `withoutAgUiHistory` has left the last message, and of each reasoning before it the id. */
export type RunInput = Static<typeof RunInputSchema>

/** Roles of messages that are not part of the dialogue: instructions of the front end, and activities that agents display. */
const ASIDES = ['system', 'developer', 'activity']

/**
 * Removes what is not needed, so that the validator does not walk through it: all messages except the last one of the dialogue and
 * the ids of reasoning, tools, context and state. A body that is not a run stays as it is, and the schema refuses it.
 */
export function withoutAgUiHistory (body: unknown): unknown {
  const { threadId, runId, messages } = (body ?? {}) as Record<string, unknown>
  if (threadId === undefined || runId === undefined || !Array.isArray(messages)) return body
  const last = messages.findLast(message => !ASIDES.includes(message?.role))
  const thoughts = messages.filter(message => message?.role === 'reasoning' && message !== last).map(({ id }) => ({ id }))
  return { threadId, runId, messages: last === undefined ? [] : [...thoughts, last] }
}

/** The user's message that a run is about. Undefined if the last message is not a user's. @throws INVALID_REQUEST */
export function askedIn ({ messages }: RunInput): { id: string, text: string } | undefined {
  const last = messages.at(-1)
  if (last?.['role'] !== 'user') return undefined
  const { id, content } = last
  if (typeof id !== 'string' || !IS_CLIENT_ID.test(id)) throw refused('id', 'must be 1 to 255 printable ASCII characters')
  const parts: unknown[] = Array.isArray(content) ? content : [{ type: 'text', text: content }]
  const texts = parts.map(part => {
    const { type, text } = (part ?? {}) as { type?: unknown, text?: unknown }
    if (type !== 'text') throw refused('content', 'has a file, and files cannot be sent yet')
    return typeof text === 'string' ? text : ''
  })
  const text = trimmed(texts.join('\n'))
  if (text === '') throw refused('content', 'has no text')
  return { id, text }
}

const IS_CLIENT_ID = /^[\x20-\x7e]{1,255}$/

function refused (field: string, message: string) {
  return invalidRequest([{ path: `messages.${field}`, message }])
}

/** A message in the format of AG-UI: its reasoning, and its text unless it has none. `ownId` is the client's own id for it. */
export function toAgUiMessages (message: Message, ownId = frontEndId(message.id)): AgUiMessage[] {
  const { sender, username, text } = message
  const said = { id: ownId, role: sender === 'user' ? 'user' : 'assistant', content: text, ...username !== null && { name: username } }
  return [...thoughtsOf(message), ...text === '' ? [] : [said]]
}
export interface AgUiMessage { id: string, role: string, content: string, name?: string }

/** The reasoning of a reply, as messages of their own. */
function thoughtsOf (message: Message): AgUiMessage[] {
  return growingPartsOf(message).filter(({ type }) => type === 'reasoning').map(({ text }, index) => ({ id: thoughtId(message.id, index + 1), role: 'reasoning', content: text }))
}

const thoughtPrefix = (reply: number) => `${frontEndId(reply)}.r`

/** The id of the nth reasoning of a reply. */
export const thoughtId = (reply: number, nth: number) => `${thoughtPrefix(reply)}${nth}`

/**
 * A reply that is under way, as the history has it: its messages in their places, without content, because the run sends all of it.
 * Clients would keep reasoning that is not in the history, and append the same again. The reasoning that this client has may not be
 * stored yet, so it is included, too.
 */
export function placesOf (reply: Message, { messages }: RunInput): AgUiMessage[] {
  const shown = toAgUiMessages(reply)
  const known = messages.map(({ id }) => String(id)).filter(id => id.startsWith(thoughtPrefix(reply.id)) && !shown.some(one => one.id === id))
  return [...known.map(id => ({ id, role: 'reasoning' })), ...shown].map(message => ({ ...message, content: '' }))
}
