import { and, asc, eq, gt, sql } from 'drizzle-orm'
import type { SessionUser } from '../../accounts/sessions.ts'
import { isNamed, typedFirst } from '../../accounts/username-store.ts'
import type { Db, Transaction } from '../../db/client.ts'
import { chatbots, conversationBots, conversations, conversationUsers, users } from '../../db/tables.ts'
import { BOT_NOT_FOUND, BOT_NOT_READY, CONVERSATION_FULL, CONVERSATION_NOT_FOUND, LAST_MEMBER, NOT_FOR_GUESTS, NOT_THE_OWNER, USER_NOT_FOUND } from '../../errors.ts'
import { cutPage } from '../../http/paging.ts'
import { botRow, without } from '../bots/store.ts'
import type { BotTitle, TitleOf } from '../bots/title.ts'
import type { MessageStore } from '../messages/store.ts'
import { isMember } from '../../log/membership.ts'

export type MemberStore = ReturnType<typeof createMemberStore>

/** The most members of one conversation, including its owner. */
export const MAX_USERS = 100
export const MAX_BOTS = 8

interface Page { limit: number, after?: number }

/**
 * The members of a conversation: users and bots. Every change holds the conversation's lock, as every write of a message
 * does, so that a removed member cannot write any more. `changed` is called after a commit that added or removed a user.
 */
export function createMemberStore (db: Db, { mustBeMember }: Pick<MessageStore, 'mustBeMember'>, changed: (conversation: number) => void, titleOf: TitleOf) {
  return {
    /** A page of the users, by id. @throws CONVERSATION_NOT_FOUND */
    async users (userId: number, id: number, { limit, after = 0 }: Page) {
      const rows = await db.select({
        id: users.id,
        username: sql<string | null>`coalesce(${users.username}, ${users.name})`,
        is_owner: sql<boolean>`${conversations.ownerId} = ${users.id}`,
        joined_at: conversationUsers.joinedAt,
        read_rev: conversationUsers.readRev
      }).from(conversationUsers)
        .innerJoin(users, eq(users.id, conversationUsers.userId))
        .innerJoin(conversations, eq(conversations.id, conversationUsers.conversationId))
        .where(and(eq(conversations.id, id), gt(users.id, after), isMember(conversations.id, userId)))
        .orderBy(asc(users.id)).limit(limit + 1)
      if (rows.length === 0) await mustBeMember(userId, id)
      return cutPage(rows, limit)
    },

    /**
     * Adds an account as a member. Adding a member again changes nothing.
     * @throws NOT_FOR_GUESTS, CONVERSATION_NOT_FOUND, NOT_THE_OWNER, USER_NOT_FOUND, CONVERSATION_FULL
     */
    async invite ({ id: userId, isGuest }: Pick<SessionUser, 'id' | 'isGuest'>, id: number, username: string) {
      if (isGuest) throw new NOT_FOR_GUESTS()
      const invited = await db.transaction(async tx => {
        await lockAsOwner(tx, userId, id)
        const [invited] = await tx.select({ id: users.id, username: sql<string>`${users.username}` })
          .from(users).where(isNamed(username)).orderBy(typedFirst(username)).limit(1)
        if (invited === undefined) throw new USER_NOT_FOUND()
        // The clock's time, not the transaction's: this may have waited for the lock, and the oldest member may become the owner.
        const joined = { conversationId: id, userId: invited.id, joinedAt: sql`clock_timestamp()` }
        await tx.insert(conversationUsers).values(joined).onConflictDoNothing()
        // Writes the row as it is, so that the other members' news find that their number has changed.
        await tx.update(conversations).set({ lastRev: sql`${conversations.lastRev}` }).where(eq(conversations.id, id))
        if (await tx.$count(conversationUsers, eq(conversationUsers.conversationId, id)) > MAX_USERS) throw new CONVERSATION_FULL()
        return invited
      })
      changed(id)
      return invited
    },

    /**
     * Removes a member. The owner may remove anybody, others only themselves. When the owner leaves, the oldest member
     * becomes the owner.
     * @throws CONVERSATION_NOT_FOUND, NOT_THE_OWNER, USER_NOT_FOUND, LAST_MEMBER
     */
    async removeUser (userId: number, id: number, memberId: number) {
      await db.transaction(async tx => {
        const { isOwner } = await lockAsMember(tx, userId, id)
        if (memberId !== userId && !isOwner) throw new NOT_THE_OWNER()
        if (memberId === userId && isOwner) {
          const { rows: handedOver } = await tx.execute(sql`SELECT hand_over(in_owner => ${userId}, in_conversation => ${id})`)
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
      const rows = await db.select(botRow).from(conversationBots)
        .innerJoin(chatbots, eq(chatbots.id, conversationBots.chatbotId))
        .where(and(eq(conversationBots.conversationId, id), gt(chatbots.id, after), isMember(conversationBots.conversationId, userId)))
        .orderBy(asc(chatbots.id)).limit(limit + 1)
      if (rows.length === 0) await mustBeMember(userId, id)
      return cutPage(rows.map(titleOf), limit)
    },

    /** @throws CONVERSATION_NOT_FOUND, NOT_THE_OWNER, BOT_NOT_FOUND, BOT_NOT_READY, CONVERSATION_FULL */
    async addBot (userId: number, id: number, name: string): Promise<BotTitle> {
      return await db.transaction(async tx => {
        await lockAsOwner(tx, userId, id)
        const [row] = await tx.select(botRow).from(chatbots).where(eq(chatbots.name, name))
        if (row === undefined) throw new BOT_NOT_FOUND()
        const bot = titleOf(row)
        if (!bot.is_ready) throw new BOT_NOT_READY()
        await tx.insert(conversationBots).values({ conversationId: id, chatbotId: bot.id }).onConflictDoNothing()
        if (await tx.$count(conversationBots, eq(conversationBots.conversationId, id)) > MAX_BOTS) throw new CONVERSATION_FULL()
        return bot
      })
    },

    /** Removes a bot and its state. @throws CONVERSATION_NOT_FOUND, NOT_THE_OWNER, BOT_NOT_FOUND */
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

/**
 * Locks a conversation until the transaction ends, so that nobody joins, leaves or writes. Membership is then read by a
 * second statement, which sees everything that was committed before the lock was granted.
 * @throws CONVERSATION_NOT_FOUND
 */
export async function lockAsMember (tx: Transaction, userId: number, id: number): Promise<{ isOwner: boolean }> {
  await tx.select({ id: conversations.id }).from(conversations).where(eq(conversations.id, id)).for('no key update')
  const [locked] = await tx.select({ ownerId: conversations.ownerId }).from(conversations)
    .where(and(eq(conversations.id, id), isMember(conversations.id, userId)))
  if (locked === undefined) throw new CONVERSATION_NOT_FOUND()
  return { isOwner: locked.ownerId === userId }
}

/** @throws CONVERSATION_NOT_FOUND, NOT_THE_OWNER */
async function lockAsOwner (tx: Transaction, userId: number, id: number) {
  const { isOwner } = await lockAsMember(tx, userId, id)
  if (!isOwner) throw new NOT_THE_OWNER()
}
