import { and, desc, eq, inArray, sql } from 'drizzle-orm'
import { keyOf } from '../accounts/store.js'
import type { Db, Transaction } from '../db/client.js'
import { chatbots, conversationBots, conversations, conversationUsers, messages, users } from '../db/tables.js'
import { BOT_NOT_FOUND, CONVERSATION_NOT_FOUND, NOT_THE_OWNER, USER_NOT_FOUND } from '../errors.js'
import { cutPage, type Cursor } from '../http/paging.js'
import { isMember, lockAsMember } from './member-store.js'
import type { MessageStore } from './message-store.js'
import type { ConversationChanges, NewConversation } from './schema.js'

export type ConversationStore = ReturnType<typeof createConversationStore>

/** Conversations and who is in them; `defaultBot` where nobody says which bots. To a stranger a conversation is not there. */
export function createConversationStore (db: Db, messageStore: MessageStore, defaultBot: string) {
  const title = { id: conversations.id, name: conversations.name }
  const summary = { ...title, is_finished: conversations.isFinished, last_updated: conversations.lastUpdated }

  return {
    /** A page of the user's conversations, last used first, each with its newest messages. */
    async list (userId: number, { limit, after = BEGINNING, messages }: { limit: number, after: Cursor | undefined, messages: number }) {
      const { rows } = await db.$client.query<Summary>({ name: 'conversations_page', text: PAGE, values: [userId, after.time, after.id, limit + 1] })
      const { page, hasMore } = cutPage(rows, limit)
      const newest = await messageStore.newest(page.map(({ id }) => id), messages)
      return { page: page.map(row => ({ ...row, messages: newest.get(row.id) ?? [] })), hasMore }
    },

    /** @throws CONVERSATION_NOT_FOUND */
    async get (userId: number, id: number, limit: number) {
      const [row] = await db.select(summary).from(conversations)
        .where(and(eq(conversations.id, id), isMember(db, userId, conversations.id)))
      const found = orNotFound(row)
      return { ...found, messages: (await messageStore.newest([id], limit)).get(id) ?? [] }
    },

    /** @throws BOT_NOT_FOUND, USER_NOT_FOUND */
    async create (userId: number, { name, bots = [defaultBot], users: usernames = [] }: NewConversation) {
      return await db.transaction(async tx => {
        const keys = usernames.map(keyOf)
        const others = keys.length === 0 ? [] : await tx.select({ id: users.id, key: users.usernameKey }).from(users).where(inArray(users.usernameKey, keys))
        if (!keys.every(key => others.some(other => other.key === key))) throw new USER_NOT_FOUND()
        const found = await tx.select({ chatbotId: chatbots.id }).from(chatbots).where(inArray(chatbots.name, bots))
        if (found.length < bots.length) throw new BOT_NOT_FOUND()
        const [row] = await tx.insert(conversations).values({ name, ownerId: userId }).returning(title)
        const conversationId = row!.id
        const members = new Set([userId, ...others.map(({ id }) => id)])
        await tx.insert(conversationUsers).values([...members].map(userId => ({ conversationId, userId })))
        if (found.length > 0) await tx.insert(conversationBots).values(found.map(({ chatbotId }) => ({ conversationId, chatbotId })))
        return row!
      })
    },

    /** Begins a guest's conversation, in which the bot has the first word; gives what it says. @throws BOT_NOT_FOUND */
    async createGreeted (userId: number, botName = defaultBot, tx: Transaction): Promise<string> {
      const [bot] = await tx.select({ id: chatbots.id, settings: chatbots.settings }).from(chatbots).where(eq(chatbots.name, botName))
      if (bot === undefined) throw new BOT_NOT_FOUND()
      const greeting = String(bot.settings['greeting'] ?? 'Hello!')
      const [row] = await tx.insert(conversations).values({ name: 'Chat', ownerId: userId, origin: 'api', lastRev: 1 }).returning(title)
      const conversationId = row!.id
      await tx.insert(conversationUsers).values({ conversationId, userId })
      await tx.insert(conversationBots).values({ conversationId, chatbotId: bot.id })
      await tx.insert(messages).values({ conversationId, id: 1, rev: 1, sender: 'bot', chatbotId: bot.id, text: greeting })
      return greeting
    },

    /** The conversation that a guest began last. @throws CONVERSATION_NOT_FOUND */
    async newestOfGuest (userId: number): Promise<number> {
      const [row] = await db.select({ id: conversations.id }).from(conversations)
        .where(and(eq(conversations.ownerId, userId), eq(conversations.origin, 'api'))).orderBy(desc(conversations.id)).limit(1)
      return orNotFound(row).id
    },

    /** @throws CONVERSATION_NOT_FOUND */
    async change (userId: number, id: number, { name, when_busy }: ConversationChanges) {
      return await db.transaction(async tx => {
        await lockAsMember(tx, userId, id)
        const [row] = await tx.update(conversations)
          .set({ name, whenBusy: when_busy, origin: sql`${conversations.origin}` }) // or nothing might be left to set
          .where(eq(conversations.id, id)).returning({ ...title, when_busy: conversations.whenBusy })
        return row!
      })
    },

    /** @throws CONVERSATION_NOT_FOUND, or NOT_THE_OWNER for a member */
    async remove (userId: number, id: number) {
      const removed = await db.delete(conversations)
        .where(and(eq(conversations.id, id), eq(conversations.ownerId, userId)))
        .returning({ id: conversations.id })
      if (removed.length > 0) return
      await this.get(userId, id, 0)
      throw new NOT_THE_OWNER()
    }
  }
}

interface Summary { id: number, name: string, is_finished: boolean, last_updated: Date }

/** Where a list begins: behind every time that a cursor may have. */
const BEGINNING: Cursor = { time: new Date('5138-12-31'), id: Number.MAX_SAFE_INTEGER }

/** By index from the cursor's minute on; within a minute it is sorted. */
export const PAGE = `
  SELECT c.id, c.name, c.is_finished, c.last_updated
  FROM conversation_users cu JOIN conversations c ON c.id = cu.conversation_id
  WHERE cu.user_id = $1 AND cu.used_in <= date_bin('1 minute', $2::timestamptz, 'epoch') AND (c.last_updated, c.id) < ($2::timestamptz, $3)
  ORDER BY cu.used_in DESC, c.last_updated DESC, c.id DESC
  LIMIT $4`

function orNotFound<T> (row: T | undefined): T {
  if (row === undefined) throw new CONVERSATION_NOT_FOUND()
  return row
}
