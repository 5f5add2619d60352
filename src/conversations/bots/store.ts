import { and, eq, inArray, sql } from 'drizzle-orm'
import { logAction, type Admin } from '../../accounts/admin-log-store.ts'
import type { BotRow } from '../../bots/bot.ts'
import { unlessTaken, type Db } from '../../db/client.ts'
import { chatbots, conversationBots, conversations, messages } from '../../db/tables.ts'
import { BOT_NAME_TAKEN, BOT_NOT_FOUND } from '../../errors.ts'
import { cutUnread, cutWritten, pageOf, type JsonRow } from '../../http/paging.ts'
import { isMember } from '../../log/membership.ts'

export type BotStore = ReturnType<typeof createBotStore>

/** The columns of a bot as its directory takes it. */
export const botRow = { id: chatbots.id, name: chatbots.name, engine: chatbots.engine, settings: chatbots.settings }

/** The stored bots. */
export function createBotStore (db: Db) {
  return {
    /** A page of the bots, by id. The page ends early if their settings are long: those of one bot may fill a request's body. */
    async list ({ limit, after = 0 }: { limit: number, after?: number }) {
      const { rows } = await db.$client.query<JsonRow>({ name: 'bots_page', text: PAGE, values: [after, limit + 1] })
      const { page, hasMore } = pageOf(rows)
      return { page: page.map(({ json }) => JSON.parse(json) as BotRow), hasMore }
    },

    /** The bots of a conversation that the user is in; none of any other. */
    async of (user: number, conversation: number): Promise<BotRow[]> {
      return await db.select(botRow).from(conversationBots).innerJoin(chatbots, eq(chatbots.id, conversationBots.chatbotId))
        .where(and(eq(conversationBots.conversationId, conversation), isMember(conversationBots.conversationId, user)))
    },

    /** The bot of this name, if there is one. */
    async named (name: string): Promise<BotRow | undefined> {
      const [row] = await db.select(botRow).from(chatbots).where(eq(chatbots.name, name))
      return row
    },

    /** Returns the names for which there is no bot. */
    async missing (names: string[]): Promise<string[]> {
      const found = await db.select({ name: chatbots.name }).from(chatbots).where(inArray(chatbots.name, names))
      return names.filter(name => !found.some(other => other.name === name))
    },

    /** @throws BOT_NOT_FOUND */
    async get (id: number) {
      const [row] = await db.select(botRow).from(chatbots).where(eq(chatbots.id, id))
      return orNotFound(row)
    },

    /** @throws BOT_NAME_TAKEN, also if only the case differs */
    async create (admin: Admin, { name, engine, settings }: Omit<BotRow, 'id'>) {
      return await unlessTaken(db.transaction(async tx => {
        const [row] = await tx.insert(chatbots).values({ name, engine, settings }).returning(botRow)
        await logAction(tx, admin, 'bot.create', { details: { bot: row!.id, name, engine } })
        return row!
      }), 'chatbots_name', BOT_NAME_TAKEN)
    },

    /** @throws BOT_NOT_FOUND, BOT_NAME_TAKEN */
    async change (admin: Admin, id: number, { name, settings }: Partial<Pick<BotRow, 'name' | 'settings'>>) {
      const engine = sql`${chatbots.engine}` // so that the SET is never empty
      return await unlessTaken(db.transaction(async tx => {
        const [row] = await tx.update(chatbots).set({ name, settings, engine }).where(eq(chatbots.id, id)).returning(botRow)
        const changed = orNotFound(row)
        // Settings may be secret, so only their names are logged.
        await logAction(tx, admin, 'bot.change', { details: { bot: id, name: changed.name, settings: settings && Object.keys(settings).sort() } })
        return changed
      }), 'chatbots_name', BOT_NAME_TAKEN)
    },

    /** Deletes a bot and its state in all conversations. Its messages stay, without a name. @throws BOT_NOT_FOUND */
    async remove (admin: Admin, id: number) {
      await db.transaction(async tx => {
        const isIn = tx.select({ id: conversationBots.conversationId }).from(conversationBots).where(eq(conversationBots.chatbotId, id))
        // Also those that it was taken out of, because its messages there change, too.
        const hasWritten = tx.select({ id: messages.conversationId }).from(messages).where(eq(messages.chatbotId, id))
        await tx.select({ id: conversations.id }).from(conversations).where(inArray(conversations.id, hasWritten.union(isIn))).orderBy(conversations.id).for('no key update')
        await tx.update(conversations).set({ state: without(id) }).where(inArray(conversations.id, isIn))
        const [row] = await tx.delete(chatbots).where(eq(chatbots.id, id)).returning({ name: chatbots.name })
        await logAction(tx, admin, 'bot.delete', { details: { bot: id, name: orNotFound(row).name } })
      })
    }
  }
}

const PAGE = cutWritten({
  rows: `SELECT id, json_build_object('id', id, 'name', name, 'engine', engine, 'settings', settings)::text AS json, more FROM (
    ${cutUnread({
      rows: 'SELECT * FROM chatbots WHERE id > $1 ORDER BY id LIMIT $2',
      order: 'id',
      bytes: 'octet_length(settings::text)',
      most: '$2'
    })}
  ) bot`,
  order: 'id'
})

/** The state of a conversation without that of one bot. */
export const without = (botId: number) => sql`${conversations.state} - ${String(botId)}::text`

function orNotFound<T> (row: T | undefined): T {
  if (row === undefined) throw new BOT_NOT_FOUND()
  return row
}
