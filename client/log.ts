import type { Delta, Message } from './shapes.ts'

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
 * counts, and of the same `rev`, while a reply is being written, the longest. A deleted message is kept without its
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

/**
 * Adds a piece of a reply to its part. Returns undefined if the text before the piece is missing. Replies older than the loaded
 * messages are ignored. `offset` is in UTF-16 units. A message without parts is one text.
 */
export function withDelta (log: Log, { id, part = 0, type = 'text', offset, text }: Delta): Log | undefined {
  const at = log.messages.findIndex(message => message.id === id)
  const message = log.messages[at]
  if (message === undefined) return log.hasOlder && id < log.messages[0]!.id ? log : undefined
  const parts = message.parts ?? (message.text === '' ? [] : [{ type: 'text' as const, text: message.text }])
  const known = parts[part]?.text ?? ''
  if (part > parts.length || known.length < offset) return undefined
  if (known.length >= offset + text.length) return log
  const grown = parts.toSpliced(part, 1, { type, text: known.slice(0, offset) + text })
  const said = grown.map(({ type, text = '' }) => type === 'text' ? text : '').join('')
  return { ...log, messages: log.messages.with(at, { ...message, text: said, ...grown.some(({ type }) => type !== 'text') && { parts: grown } }) }
}

function isNewer (change: Message, known: Message) {
  return change.rev > known.rev || (change.rev === known.rev && known.status !== 'deleted' && lengthOf(change) > lengthOf(known))
}

/** The length of a message, including its reasoning. */
const lengthOf = ({ text, parts = [] }: Message) => parts.reduce((sum, part) => part.type === 'reasoning' ? sum + part.text!.length : sum, text.length)
