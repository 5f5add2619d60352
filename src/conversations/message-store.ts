import { and, eq, exists, ne, sql } from 'drizzle-orm'
import type { Db } from '../db/client.js'
import { chatbots, conversations, conversationUsers, messages, users } from '../db/tables.js'
import { CONVERSATION_NOT_FOUND, MESSAGE_NOT_FOUND, NOT_THE_AUTHOR } from '../errors.js'
import { cutPage } from '../http/paging.js'
import { FROM_MESSAGES, MESSAGE_FOR_JSON } from './log.js'
import type { Message } from './schema.js'

export type MessageStore = ReturnType<typeof createMessageStore>

/** A message as everybody sees it. */
const message = {
  id: messages.id,
  rev: messages.rev,
  sender: messages.sender,
  username: sql<string | null>`coalesce(${users.username}, ${chatbots.name})`,
  text: messages.text,
  status: messages.status,
  created_at: messages.createdAt
}

/**
 * Reads and changes what is in the log; what is added goes through `log.ts`. `changed` is told, after the commit, in
 * which conversation something was changed.
 */
export function createMessageStore (db: Db, changed: (conversation: number) => void) {
  const inConversation = eq(messages.conversationId, sql.placeholder('conversation'))
  const isThere = ne(messages.status, 'deleted')
  const asMember = exists(db.select({ one: sql`1` }).from(conversationUsers).where(and(
    eq(conversationUsers.conversationId, messages.conversationId), eq(conversationUsers.userId, sql.placeholder('user')))))

  const select = (from: Pick<Db, 'select'> = db) => from.select(message).from(messages)
    .leftJoin(users, eq(users.id, messages.userId))
    .leftJoin(chatbots, eq(chatbots.id, messages.chatbotId))

  const selectOne = select()
    .where(and(inConversation, eq(messages.id, sql.placeholder('message')), isThere, asMember))
    .prepare('message')

  return {
    /** A page of messages as JSON, oldest first, that ends before the given one; without one the newest page. */
    async page (user: number, conversation: number, { limit, before = Number.MAX_SAFE_INTEGER }: { limit: number, before?: number }) {
      const { rows } = await db.$client.query<{ id: number, json: string }>({ name: 'messages_page', text: PAGE, values: [conversation, before, user, limit + 1] })
      const { page, hasMore } = cutPage(rows, limit)
      if (page.length === 0) await this.mustBeMember(user, conversation)
      return { page: page.reverse(), hasMore }
    },

    /** @throws MESSAGE_NOT_FOUND, CONVERSATION_NOT_FOUND */
    async get (user: number, conversation: number, id: number): Promise<Message> {
      const [found] = await selectOne.execute({ user, conversation, message: id })
      if (found === undefined) await this.mustBeMember(user, conversation)
      return orNotFound(found)
    },

    /** @throws CONVERSATION_NOT_FOUND, MESSAGE_NOT_FOUND, NOT_THE_AUTHOR */
    async edit (user: number, conversation: number, id: number, text: string): Promise<Message> {
      return await change(user, conversation, id, ({ author }) => author === user, { text })
    },

    /** An author's own, or any by the owner. @throws as `edit` */
    async remove (user: number, conversation: number, id: number) {
      await change(user, conversation, id, ({ author, owner }) => author === user || owner === user, { text: '', status: 'deleted' })
    },

    /** @throws CONVERSATION_NOT_FOUND */
    async mustBeMember (user: number, conversation: number) {
      const [row] = await db.select({ one: sql`1` }).from(conversationUsers)
        .where(and(eq(conversationUsers.conversationId, conversation), eq(conversationUsers.userId, user)))
      if (row === undefined) throw new CONVERSATION_NOT_FOUND()
    }
  }

  /** Changes a message under the lock of its conversation, whose rev it takes, and gives it as it then is. */
  async function change (
    user: number, conversation: number, id: number,
    isAllowed: (who: { author: number | null, owner: number }) => boolean, set: { text: string, status?: 'deleted' }
  ) {
    const message = await db.transaction(async tx => {
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
      const thisOne = and(eq(messages.conversationId, conversation), eq(messages.id, id))
      await tx.update(messages).set({ ...set, rev: taken!.rev }).where(thisOne)
      const [written] = await select(tx).where(thisOne)
      return written!
    })
    changed(conversation)
    return message
  }
}

export const PAGE = `
  SELECT m.id, row_to_json(m)::text AS json FROM (
    SELECT ${MESSAGE_FOR_JSON} ${FROM_MESSAGES}
    WHERE m.conversation_id = $1 AND m.id < $2 AND m.status <> 'deleted'
      AND EXISTS (SELECT FROM conversation_users cu WHERE cu.conversation_id = $1 AND cu.user_id = $3)
    ORDER BY m.id DESC LIMIT $4
  ) m`

function orNotFound (found: Message | undefined): Message {
  if (found === undefined) throw new MESSAGE_NOT_FOUND()
  return found
}
