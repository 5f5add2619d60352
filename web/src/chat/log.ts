import type { Message } from '../api/shapes.js'

/** What one knows of a conversation: its messages in their places, from the oldest that was read on. */
export interface Log {
  messages: Message[]
  /** Everything that changed up to this rev is in it. */
  rev: number
  /** Whether there is more before the first one. */
  hasOlder: boolean
}

export const EMPTY: Log = { messages: [], rev: 0, hasOlder: false }

/**
 * Takes in messages, new or changed, in whatever order and however often they come: the highest `rev` of each counts,
 * and of the same, while it grows, the longest text. A deleted one stays, without its text, or an old word of it would
 * bring it back.
 */
export function withChanges (log: Log, changes: Message[]): Log {
  const first = log.hasOlder ? log.messages[0]?.id ?? 0 : 0
  const byId = new Map(log.messages.map(message => [message.id, message]))
  for (const change of changes) {
    const known = byId.get(change.id)
    // What is before the first one comes as it is by then, when it is scrolled to.
    if (change.id < first || (known !== undefined && !isNewer(change, known))) continue
    byId.set(change.id, change)
  }
  return { ...log, messages: [...byId.values()].sort((a, b) => a.id - b.id) }
}

export function withOlder (log: Log, page: Message[], hasOlder: boolean): Log {
  const known = new Set(log.messages.map(({ id }) => id))
  return { ...log, hasOlder, messages: [...page.filter(({ id }) => !known.has(id)), ...log.messages] }
}

/** What a reply grew by; undefined where something before it is missing. `offset` is in UTF-16 units. */
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
