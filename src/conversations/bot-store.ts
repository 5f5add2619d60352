import { asc, eq, gt, inArray, sql } from 'drizzle-orm'
import type { BotRow } from '../bots/bot.js'
import { violates, type Db } from '../db/client.js'
import { chatbots, conversationBots, conversations } from '../db/tables.js'
import { BOT_NAME_TAKEN, BOT_NOT_FOUND } from '../errors.js'
import { cutPage } from '../http/paging.js'
import { without } from './member-store.js'

export type BotStore = ReturnType<typeof createBotStore>

const bot = { id: chatbots.id, name: chatbots.name, engine: chatbots.engine, settings: chatbots.settings }

/** All bots that there are. */
export function createBotStore (db: Db) {
  return {
    /** A page of the bots, by id. */
    async list ({ limit, after = 0 }: { limit: number, after?: number }) {
      return cutPage(await db.select(bot).from(chatbots).where(gt(chatbots.id, after)).orderBy(asc(chatbots.id)).limit(limit + 1), limit)
    },

    /** @throws BOT_NOT_FOUND */
    async get (id: number) {
      const [row] = await db.select(bot).from(chatbots).where(eq(chatbots.id, id))
      return orNotFound(row)
    },

    /** @throws BOT_NAME_TAKEN, whatever the case */
    async create ({ name, engine, settings }: Omit<BotRow, 'id'>) {
      const [row] = await unlessTaken(db.insert(chatbots).values({ name, engine, settings }).returning(bot))
      return row!
    },

    /** @throws BOT_NOT_FOUND, BOT_NAME_TAKEN */
    async change (id: number, { name, settings }: Partial<Pick<BotRow, 'name' | 'settings'>>) {
      const engine = sql`${chatbots.engine}` // or nothing might be left to set
      const [row] = await unlessTaken(db.update(chatbots).set({ name, settings, engine }).where(eq(chatbots.id, id)).returning(bot))
      return orNotFound(row)
    },

    /** Deletes a bot, and what it remembered of all conversations; what it said stays, without a name. @throws BOT_NOT_FOUND */
    async remove (id: number) {
      await db.transaction(async tx => {
        const isIn = inArray(conversations.id, tx.select({ id: conversationBots.conversationId }).from(conversationBots).where(eq(conversationBots.chatbotId, id)))
        await tx.select({ id: conversations.id }).from(conversations).where(isIn).orderBy(conversations.id).for('no key update')
        await tx.update(conversations).set({ state: without(id) }).where(isIn)
        const [row] = await tx.delete(chatbots).where(eq(chatbots.id, id)).returning({ id: chatbots.id })
        orNotFound(row)
      })
    }
  }
}

function orNotFound<T> (row: T | undefined): T {
  if (row === undefined) throw new BOT_NOT_FOUND()
  return row
}

/** @throws BOT_NAME_TAKEN */
async function unlessTaken<T> (change: Promise<T>): Promise<T> {
  try {
    return await change
  } catch (error) {
    if (violates(error, 'chatbots_name')) throw new BOT_NAME_TAKEN()
    throw error
  }
}
