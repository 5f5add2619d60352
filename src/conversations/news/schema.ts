import { Type } from 'typebox'
import { Rev } from '../../http/schema.ts'
import type { Message } from '../../log/message.ts'

/** A conversation in somebody's news. `unread` counts what others have said since that user read last, to 99. */
export interface ConversationNews {
  id: number
  name: string
  is_finished: boolean
  last_updated: Date
  last_rev: number
  read_rev: number
  unread: number
  /** How many users are in it. */
  members: number
  client_id?: string
  metadata?: Record<string, unknown>
  newest: Message | null
}

/** Sent when everything after a reader's cursor was sent. With `reset` the cursor is of no use, and the reader loads its lists anew. */
export interface NewsReady { cursor: string, reset: boolean }

export const NewsCursor = Type.String({
  maxLength: 100, pattern: /^[\w-]*$/.source, 'x-rule': 'may contain only letters, digits, - and _'
})

export const ReadSchema = Type.Object({ rev: Rev }, { title: 'Read' })
