import { and, asc, eq, exists, gt, sql } from 'drizzle-orm'
import type { PgColumn } from 'drizzle-orm/pg-core'
import { keyOf } from '../accounts/store.js'
import type { Db, Transaction } from '../db/client.js'
import { chatbots, conversationBots, conversations, conversationUsers, users } from '../db/tables.js'
import { BOT_NOT_FOUND, CONVERSATION_FULL, CONVERSATION_NOT_FOUND, LAST_MEMBER, NOT_THE_OWNER, USER_NOT_FOUND } from '../errors.js'
import { cutPage } from '../http/paging.js'
import type { MessageStore } from './message-store.js'

export type MemberStore = ReturnType<typeof createMemberStore>

const MOST_USERS = 100
const MOST_BOTS = 8

interface Page { limit: number, after?: number }

/**
 * Who is in a conversation: users and bots. Whatever changes that holds the conversation's lock, as whoever writes
 * there does: who has been taken out writes nothing more. `changed` is told, after the commit, where somebody has gone.
 */
export function createMemberStore (db: Db, { mustBeMember }: Pick<MessageStore, 'mustBeMember'>, changed: (conversation: number) => void) {
  return {
    /** A page of the users, by id. @throws CONVERSATION_NOT_FOUND */
    async users (userId: number, id: number, { limit, after = 0 }: Page) {
      const rows = await db.select({
        id: users.id,
        username: sql<string>`${users.username}`, // whoever has none is in no group
        is_owner: sql<boolean>`${conversations.ownerId} = ${users.id}`,
        joined_at: conversationUsers.joinedAt
      }).from(conversationUsers)
        .innerJoin(users, eq(users.id, conversationUsers.userId))
        .innerJoin(conversations, eq(conversations.id, conversationUsers.conversationId))
        .where(and(eq(conversations.id, id), gt(users.id, after), isMember(db, userId, conversations.id)))
        .orderBy(asc(users.id)).limit(limit + 1)
      if (rows.length === 0) await mustBeMember(userId, id)
      return cutPage(rows, limit)
    },

    /**
     * Lets an account in; one who is in already stays as he is.
     * @throws CONVERSATION_NOT_FOUND, NOT_THE_OWNER, USER_NOT_FOUND, CONVERSATION_FULL
     */
    async invite (userId: number, id: number, username: string) {
      return await db.transaction(async tx => {
        await lockAsOwner(tx, userId, id)
        const [invited] = await tx.select({ id: users.id, username: sql<string>`${users.username}` })
          .from(users).where(eq(users.usernameKey, keyOf(username)))
        if (invited === undefined) throw new USER_NOT_FOUND()
        // By the clock, since this may have waited for the lock: who joined first is the oldest member.
        const joined = { conversationId: id, userId: invited.id, joinedAt: sql`clock_timestamp()` }
        await tx.insert(conversationUsers).values(joined).onConflictDoNothing()
        if (await tx.$count(conversationUsers, eq(conversationUsers.conversationId, id)) > MOST_USERS) throw new CONVERSATION_FULL()
        return invited
      })
    },

    /**
     * Takes a user out: the owner anybody, everybody himself. An owner who leaves hands it to the oldest member.
     * @throws CONVERSATION_NOT_FOUND, NOT_THE_OWNER, USER_NOT_FOUND, LAST_MEMBER
     */
    async removeUser (userId: number, id: number, memberId: number) {
      await db.transaction(async tx => {
        const { isOwner } = await lockAsMember(tx, userId, id)
        if (memberId !== userId && !isOwner) throw new NOT_THE_OWNER()
        if (memberId === userId && isOwner) {
          const { rows: handedOver } = await tx.execute(sql`SELECT hand_over(${userId}, ${id})`)
          if (handedOver.length === 0) throw new LAST_MEMBER()
        }
        const removed = await tx.delete(conversationUsers)
          .where(and(eq(conversationUsers.conversationId, id), eq(conversationUsers.userId, memberId)))
          .returning({ id: conversationUsers.userId })
        if (removed.length === 0) throw new USER_NOT_FOUND()
      })
      changed(id)
    },

    /** A page of the bots, by id. @throws CONVERSATION_NOT_FOUND */
    async bots (userId: number, id: number, { limit, after = 0 }: Page) {
      const rows = await db.select({ id: chatbots.id, name: chatbots.name }).from(conversationBots)
        .innerJoin(chatbots, eq(chatbots.id, conversationBots.chatbotId))
        .where(and(eq(conversationBots.conversationId, id), gt(chatbots.id, after), isMember(db, userId, conversationBots.conversationId)))
        .orderBy(asc(chatbots.id)).limit(limit + 1)
      if (rows.length === 0) await mustBeMember(userId, id)
      return cutPage(rows, limit)
    },

    /** @throws CONVERSATION_NOT_FOUND, NOT_THE_OWNER, BOT_NOT_FOUND, CONVERSATION_FULL */
    async addBot (userId: number, id: number, name: string) {
      return await db.transaction(async tx => {
        await lockAsOwner(tx, userId, id)
        const [bot] = await tx.select({ id: chatbots.id, name: chatbots.name }).from(chatbots).where(eq(chatbots.name, name))
        if (bot === undefined) throw new BOT_NOT_FOUND()
        await tx.insert(conversationBots).values({ conversationId: id, chatbotId: bot.id }).onConflictDoNothing()
        if (await tx.$count(conversationBots, eq(conversationBots.conversationId, id)) > MOST_BOTS) throw new CONVERSATION_FULL()
        return bot
      })
    },

    /** Takes a bot out, and what it remembered. @throws CONVERSATION_NOT_FOUND, NOT_THE_OWNER, BOT_NOT_FOUND */
    async removeBot (userId: number, id: number, botId: number) {
      await db.transaction(async tx => {
        await lockAsOwner(tx, userId, id)
        const removed = await tx.delete(conversationBots)
          .where(and(eq(conversationBots.conversationId, id), eq(conversationBots.chatbotId, botId)))
          .returning({ id: conversationBots.chatbotId })
        if (removed.length === 0) throw new BOT_NOT_FOUND()
        await tx.update(conversations).set({ state: without(botId) }).where(eq(conversations.id, id))
      })
    }
  }
}

/** What the bots of a conversation remember, without one of them. */
export const without = (botId: number) => sql`${conversations.state} - ${String(botId)}::text`

/** For a WHERE: whether the user is in the conversation of that id. */
const isMember = (from: Pick<Db, 'select'>, userId: number, conversationId: PgColumn) => exists(from.select({ one: sql`1` }).from(conversationUsers)
  .where(and(eq(conversationUsers.conversationId, conversationId), eq(conversationUsers.userId, userId))))

/**
 * Locks a conversation until the transaction ends: so long nobody comes, goes or writes. Who is in it is asked in a
 * statement of its own, which sees all that was done before the lock was given.
 * @throws CONVERSATION_NOT_FOUND
 */
export async function lockAsMember (tx: Transaction, userId: number, id: number): Promise<{ isOwner: boolean }> {
  await tx.select({ id: conversations.id }).from(conversations).where(eq(conversations.id, id)).for('no key update')
  const [locked] = await tx.select({ ownerId: conversations.ownerId }).from(conversations)
    .where(and(eq(conversations.id, id), isMember(tx, userId, conversations.id)))
  if (locked === undefined) throw new CONVERSATION_NOT_FOUND()
  return { isOwner: locked.ownerId === userId }
}

/** @throws CONVERSATION_NOT_FOUND, NOT_THE_OWNER */
async function lockAsOwner (tx: Transaction, userId: number, id: number) {
  const { isOwner } = await lockAsMember(tx, userId, id)
  if (!isOwner) throw new NOT_THE_OWNER()
}
