import { and, eq, ne, sql } from 'drizzle-orm'
import type { Db, Transaction } from '../../db/client.ts'
import { conversations, conversationUsers, messages } from '../../db/tables.ts'
import { createPipeline } from '../../db/pipeline.ts'
import { CONVERSATION_NOT_FOUND, MESSAGE_NOT_FOUND, NOT_THE_AUTHOR } from '../../errors.ts'
import { cutUnread, cutWritten, pageOf, type JsonRow } from '../../http/paging.ts'
import { FROM_MESSAGES, type Message, MESSAGE, MESSAGE_BYTES, MESSAGE_JSON, type MessageRow, shown, WITH_NAMES } from '../../log/message.ts'
import { IS_MEMBER, isMember } from '../../log/membership.ts'

export type MessageStore = ReturnType<typeof createMessageStore>

const DELETED = { text: '', parts: null, metadata: null, status: 'deleted' } as const

/**
 * Reads, edits and deletes messages; `log.ts` adds them. `changed` is called with the conversation after each commit.
 */
export function createMessageStore (db: Db, changed: (conversation: number) => void) {
  const pipelined = createPipeline(db.$client)
  const isThere = ne(messages.status, 'deleted')

  async function read (user: number, conversation: number, id: number): Promise<Message | undefined> {
    const { rows: [row] } = await pipelined<MessageRow>({ name: 'message', text: ONE, values: [conversation, id, user] })
    return row && shown(row)
  }

  return {
    /** A page of messages as JSON, oldest first, that ends before the given message, or the newest page. At most `PAGE_BYTES` long. */
    async page (user: number, conversation: number, { limit, before = Number.MAX_SAFE_INTEGER }: { limit: number, before?: number }) {
      const { rows } = await pipelined<JsonRow & { id: number }>({ name: 'messages_page', text: MESSAGES_PAGE, values: [conversation, before, user, limit + 1] })
      const { page, hasMore } = pageOf(rows)
      if (page.length === 0) await this.mustBeMember(user, conversation)
      return { page: page.reverse(), hasMore }
    },

    /** @throws MESSAGE_NOT_FOUND, CONVERSATION_NOT_FOUND */
    async get (user: number, conversation: number, id: number): Promise<Message> {
      const found = await read(user, conversation, id)
      if (found === undefined) await this.mustBeMember(user, conversation)
      return orNotFound(found)
    },

    /** Returns the edited message. @throws CONVERSATION_NOT_FOUND, MESSAGE_NOT_FOUND, NOT_THE_AUTHOR */
    async edit (user: number, conversation: number, id: number, text: string): Promise<Message> {
      return await change(user, conversation, id, ({ author }) => author === user, { text, parts: null, error: null })
    },

    /**
     * Authors may delete their own messages, owners any. Replies to the message that are still queued are deleted, too: the bot would
     * get a history without the message, and answer an earlier one again. @throws as `edit`
     */
    async remove (user: number, conversation: number, id: number) {
      await change(user, conversation, id, ({ author, owner }) => author === user || owner === user, DELETED, async tx => {
        const isQueuedReply = and(eq(messages.conversationId, conversation), eq(messages.replyTo, id), eq(messages.status, 'queued'))
        await tx.select({ id: messages.id }).from(messages).where(isQueuedReply).for('no key update')
        await tx.update(messages).set({ ...DELETED, rev: sql`next_rev(${conversation})` }).where(isQueuedReply)
      })
    },

    /** @throws CONVERSATION_NOT_FOUND */
    async mustBeMember (user: number, conversation: number) {
      const [row] = await db.select({ one: sql`1` }).from(conversations).where(and(eq(conversations.id, conversation), isMember(conversation, user)))
      if (row === undefined) throw new CONVERSATION_NOT_FOUND()
    }
  }

  /**
   * Changes a message under the lock of its conversation, with the next rev, and returns it. It is read before the commit,
   * because afterwards it may already be edited again or deleted. `andThen` changes what depends on it, in the same transaction.
   */
  async function change (
    user: number, conversation: number, id: number,
    isAllowed: (who: { author: number | null, owner: number }) => boolean, set: { text: string, parts: null, metadata?: null, error?: null, status?: 'deleted' },
    andThen?: (tx: Transaction) => Promise<void>
  ): Promise<Message> {
    const changedMessage = await db.transaction(async tx => {
      await tx.select({ id: conversations.id }).from(conversations).where(eq(conversations.id, conversation)).for('no key update')
      const [found] = await tx.select({ id: messages.id, author: messages.userId, owner: conversations.ownerId })
        .from(conversationUsers)
        .innerJoin(conversations, eq(conversations.id, conversationUsers.conversationId))
        .leftJoin(messages, and(eq(messages.conversationId, conversations.id), eq(messages.id, id), isThere))
        .where(and(eq(conversationUsers.conversationId, conversation), eq(conversationUsers.userId, user)))
      if (found === undefined) throw new CONVERSATION_NOT_FOUND()
      if (found.id === null) throw new MESSAGE_NOT_FOUND()
      if (!isAllowed(found)) throw new NOT_THE_AUTHOR()
      const [taken] = await tx.update(conversations).set({ lastRev: sql`${conversations.lastRev} + 1` })
        .where(eq(conversations.id, conversation)).returning({ rev: conversations.lastRev })
      await tx.update(messages).set({ ...set, rev: taken!.rev }).where(and(eq(messages.conversationId, conversation), eq(messages.id, id)))
      await andThen?.(tx)
      return await messageAt(tx, conversation, id)
    })
    changed(conversation)
    return changedMessage
  }
}

/** Reads a message that is there, deleted or not. The caller has checked that it may be shown. */
export async function messageAt (tx: Transaction, conversation: number, id: number): Promise<Message> {
  const { rows: [row] } = await tx.execute<{ json: string }>(sql`
    SELECT ${sql.raw(`${MESSAGE_JSON} AS json ${FROM_MESSAGES}`)} WHERE m.conversation_id = ${conversation} AND m.id = ${id}`)
  const message = JSON.parse(row!.json) as Message & { created_at: string }
  return { ...message, created_at: new Date(message.created_at) }
}

const BEFORE = `
  SELECT * FROM messages m
  WHERE m.conversation_id = $1 AND m.id < $2 AND m.status <> 'deleted'
    AND ${IS_MEMBER('$1', '$3')}
  ORDER BY m.id DESC LIMIT $4`

export const MESSAGES_PAGE = cutWritten({
  rows: `SELECT m.id, ${MESSAGE_JSON} AS json, m.more FROM (
    ${cutUnread({ rows: BEFORE, order: 'id DESC', bytes: MESSAGE_BYTES, most: '$4' })}
  ) m ${WITH_NAMES}`,
  order: 'id DESC'
})

const ONE = `
  SELECT ${MESSAGE} ${FROM_MESSAGES}
  WHERE m.conversation_id = $1 AND m.id = $2 AND m.status <> 'deleted'
    AND ${IS_MEMBER('$1', '$3')}`

function orNotFound (found: Message | undefined): Message {
  if (found === undefined) throw new MESSAGE_NOT_FOUND()
  return found
}
