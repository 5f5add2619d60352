import type { Message } from '../api/shapes.ts'

/** The loaded part of a conversation: its messages in order, from the oldest loaded one to the newest. */
export interface Log {
  messages: Message[]
  /** All changes up to this rev are contained. */
  rev: number
  /** Whether the server has older messages. */
  hasOlder: boolean
}

export const EMPTY: Log = { messages: [], rev: 0, hasOlder: false }

/**
 * Merges new and changed messages, which may arrive in any order and more than once. Of each message the highest `rev`
 * counts, and of the same `rev`, while a reply is being written, the longest text. A deleted message is kept without its
 * text, since an older version of it that arrives late would otherwise bring it back.
 */
export function withChanges (log: Log, changes: Message[]): Log {
  const first = log.hasOlder ? log.messages[0]?.id ?? 0 : 0
  const byId = new Map(log.messages.map(message => [message.id, message]))
  for (const change of changes) {
    const known = byId.get(change.id)
    // Messages before the first loaded one are loaded in their current state when the user scrolls to them.
    if (change.id < first || (known !== undefined && !isNewer(change, known))) continue
    byId.set(change.id, change)
  }
  return { ...log, messages: [...byId.values()].sort((a, b) => a.id - b.id) }
}

export function withOlder (log: Log, page: Message[], hasOlder: boolean): Log {
  const known = new Set(log.messages.map(({ id }) => id))
  return { ...log, hasOlder, messages: [...page.filter(({ id }) => !known.has(id)), ...log.messages] }
}

/** Appends a part of a reply; undefined if a part before it is missing. `offset` is in UTF-16 units. */
export function withDelta (log: Log, { id, offset, text }: { id: number, offset: number, text: string }): Log | undefined {
  const at = log.messages.findIndex(message => message.id === id)
  const message = log.messages[at]
  if (message === undefined || message.text.length < offset) return undefined
  if (message.text.length >= offset + text.length) return log
  return { ...log, messages: log.messages.with(at, { ...message, text: message.text.slice(0, offset) + text }) }
}

function isNewer (change: Message, known: Message) {
  return change.rev > known.rev || (change.rev === known.rev && change.text.length >= known.text.length)
}
