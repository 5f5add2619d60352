import { cut, trimmed } from '../../text/text.ts'

// Ids of front ends that make up the ids of their chats and messages before these are stored.

/** Names a message by its author's client id or by its id in the conversation. If both are null, it is the newest reply. */
export interface Named { clientId: string | null, id: number | null }

/** A new conversation is named after the beginning of its first message, in code points, unless nothing in it can be seen. */
const MAX_NAME_LENGTH = 60

/** A number in its usual form, which names a conversation or a message. */
export function numberIn (id: string) {
  return /^[1-9]\d{0,14}$/.test(id) ? Number(id) : null
}

/** The id of a message for such front ends: the same in the history, in a stream and in one that is resumed. */
export const frontEndId = (id: number) => `m${id}`

/** Reads the id of a message, which the client made up, or `frontEndId` made. */
export function namedBy (conversation: number, id: string): Named {
  return { clientId: clientIdOf(conversation, id), id: id.startsWith('m') ? numberIn(id.slice(1)) : null }
}

/** The ids of messages are unique in a chat, and a `client_id` is unique for its author. So the conversation is part of it. */
export function clientIdOf (conversation: number, id: string) {
  return `${prefixOf(conversation)}${id}`
}

/** The part of a `client_id` that `clientIdOf` adds to the front end's own id. */
export const prefixOf = (conversation: number) => `ui:${conversation}:`

export function nameFrom (text: string) {
  return trimmed(cut(cut(text, 4 * MAX_NAME_LENGTH).replace(/\s+/g, ' '), MAX_NAME_LENGTH)) || 'Chat'
}
