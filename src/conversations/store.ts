import { and, desc, eq, inArray, sql } from 'drizzle-orm'
import { keyOf } from '../accounts/store.js'
import { jsonTime, type Db, type Transaction } from '../db/client.js'
import { chatbots, conversationBots, conversations, conversationUsers, messages, users } from '../db/tables.js'
import { BOT_NOT_FOUND, CONVERSATION_NOT_FOUND, NOT_THE_OWNER, USER_NOT_FOUND } from '../errors.js'
import { cutPage, type Cursor } from '../http/paging.js'
import { FROM_MESSAGES, MESSAGE_FOR_JSON } from './log.js'
import { lockAsMember } from './member-store.js'
import type { ConversationChanges, NewConversation } from './schema.js'

export type ConversationStore = ReturnType<typeof createConversationStore>

/** Conversations and who is in them; `defaultBot` where nobody says which bots. To a stranger a conversation is not there. */
export function createConversationStore (db: Db, defaultBot: string) {
  const title = { id: conversations.id, name: conversations.name }

  return {
    /** A page of the user's conversations as JSON, last used first, each with its newest messages. */
    async list (userId: number, { limit, after = BEGINNING, messages }: { limit: number, after: Cursor | undefined, messages: number }) {
      const { rows } = await db.$client.query<Listed>({ name: 'conversations_page', text: PAGE, values: [userId, messages, after.time, after.id, limit + 1] })
      return cutPage(rows, limit)
    },

    /** A conversation as JSON, with so many of its newest messages. @throws CONVERSATION_NOT_FOUND */
    async get (userId: number, id: number, messages: number): Promise<string> {
      const { rows } = await db.$client.query<Listed>({ name: 'conversation', text: ONE, values: [userId, messages, id] })
      return orNotFound(rows[0]).json
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

interface Listed { id: number, last_updated: Date, json: string }

/** Where a list begins: behind every time that a cursor may have. */
const BEGINNING: Cursor = { time: new Date('5138-12-31'), id: Number.MAX_SAFE_INTEGER }

/** `conversations c` as JSON, as the wire has it, with its $2 newest messages, oldest first. */
const CONVERSATION_JSON = `(
  SELECT row_to_json(one)::text FROM (
    SELECT c.id, c.name, c.is_finished, ${jsonTime('c.last_updated')} AS last_updated, array_to_json(ARRAY(
      SELECT newest FROM (
        SELECT ${MESSAGE_FOR_JSON} ${FROM_MESSAGES}
        WHERE m.conversation_id = c.id AND m.status <> 'deleted'
        ORDER BY m.id DESC LIMIT $2
      ) newest
      ORDER BY newest.id
    )) AS messages
  ) one
) AS json`

/** By index from the cursor's minute on; within a minute it is sorted. Messages are read only of what is on the page. */
export const PAGE = `
  SELECT c.id, c.last_updated, ${CONVERSATION_JSON}
  FROM (
    SELECT c.id, c.name, c.is_finished, c.last_updated
    FROM conversation_users cu JOIN conversations c ON c.id = cu.conversation_id
    WHERE cu.user_id = $1 AND cu.used_in <= date_bin('1 minute', $3::timestamptz, 'epoch') AND (c.last_updated, c.id) < ($3::timestamptz, $4)
    ORDER BY cu.used_in DESC, c.last_updated DESC, c.id DESC
    LIMIT $5
  ) c
  ORDER BY c.last_updated DESC, c.id DESC`

const ONE = `
  SELECT c.id, c.last_updated, ${CONVERSATION_JSON}
  FROM conversation_users cu JOIN conversations c ON c.id = cu.conversation_id
  WHERE cu.user_id = $1 AND c.id = $3`

function orNotFound<T> (row: T | undefined): T {
  if (row === undefined) throw new CONVERSATION_NOT_FOUND()
  return row
}
