import { and, desc, eq, inArray, sql } from 'drizzle-orm'
import type { SessionUser } from '../accounts/sessions.ts'
import { findNamed } from '../accounts/username-store.ts'
import { jsonTime, type Db, type Transaction } from '../db/client.ts'
import { chatbots, conversationBots, conversations, conversationUsers, messages } from '../db/tables.ts'
import { BOT_NOT_FOUND, BOT_NOT_READY, CONVERSATION_FULL, CONVERSATION_NOT_FOUND, NOT_FOR_GUESTS, NOT_THE_OWNER } from '../errors.ts'
import { cutUnread, cutWritten, PAGE_BYTES, pageOf, type Cursor, type JsonRow } from '../http/paging.ts'
import { MESSAGE_BYTES, MESSAGE_JSON, WITH_NAMES } from '../log/message.ts'
import { lockAsMember, MAX_BOTS, MAX_USERS } from './members/store.ts'
import { botRow } from './bots/store.ts'
import type { TitleOf } from './bots/title.ts'
import { UNREAD } from './news/unread.ts'
import type { ConversationChanges, NewConversation } from './schema.ts'

/** The name of a conversation that was begun without one. */
const UNNAMED = 'New conversation'

export type ConversationStore = ReturnType<typeof createConversationStore>

/** The bot of conversations that are created without bots, and the only bot that guests may talk to. */
export interface UsualBots { ofUsers: string, ofGuests: string }

/**
 * Conversations and their members. For a user who is not a member, a conversation does not exist. `changed` is called after each
 * commit.
 */
export function createConversationStore (db: Db, { ofUsers, ofGuests }: UsualBots, titleOf: TitleOf, changed: (conversation: number) => void) {
  const titleFor = (userId: number) => ({
    id: conversations.id,
    name: conversations.name,
    client_id: sql<string | null>`CASE WHEN ${conversations.ownerId} = ${userId} THEN ${conversations.clientId} END`,
    metadata: conversations.metadata
  })

  return {
    /** A page of the user's conversations as JSON, last used first, each with its newest messages. It has at most `PAGE_BYTES`. */
    async list (userId: number, { limit, after = BEGINNING, messages }: { limit: number, after: Cursor | undefined, messages: number }) {
      const { rows } = await db.$client.query<Listed>({ name: 'conversations_page', text: CONVERSATIONS_PAGE, values: [userId, messages, after.time, after.id, limit + 1] })
      return pageOf(rows)
    },

    /** A conversation as JSON, with at most this many of its newest messages and `PAGE_BYTES` of them. @throws CONVERSATION_NOT_FOUND */
    async get (userId: number, id: number, messages: number): Promise<string> {
      const { rows } = await db.$client.query<Pick<Listed, 'json'>>({ name: 'conversation', text: ONE, values: [userId, messages, id] })
      return orNotFound(rows[0]).json
    },

    /**
     * Creates a conversation. If the user has created one with this `client_id` before, that one is returned unchanged, and `isNew`
     * is false. Guests cannot add members, and no bots but their own: the operator chooses what visitors of a site may use.
     * @throws NOT_FOR_GUESTS, BOT_NOT_FOUND, BOT_NOT_READY, USER_NOT_FOUND, CONVERSATION_FULL
     */
    async create ({ id: userId, isGuest }: Pick<SessionUser, 'id' | 'isGuest'>, conversation: NewConversation) {
      const { name = UNNAMED, bots = [isGuest ? ofGuests : ofUsers], users: usernames = [], client_id: clientId, metadata } = conversation
      if (isGuest && usernames.length > 0) throw new NOT_FOR_GUESTS()
      if (isGuest && bots.some(bot => bot !== ofGuests)) throw new BOT_NOT_FOUND()
      if (usernames.length >= MAX_USERS || bots.length > MAX_BOTS) throw new CONVERSATION_FULL()
      const created = await db.transaction(async tx => {
        // Insert before anything else: this waits for a concurrent request that creates the same conversation.
        const [row] = await tx.insert(conversations).values({ name, ownerId: userId, clientId, metadata }).onConflictDoNothing().returning(titleFor(userId))
        if (row === undefined) {
          const [known] = await tx.select(titleFor(userId)).from(conversations).where(and(eq(conversations.ownerId, userId), eq(conversations.clientId, clientId!)))
          return { ...shown(orNotFound(known)), isNew: false }
        }
        const others = await findNamed(tx, usernames)
        const found = await tx.select(botRow).from(chatbots).where(inArray(chatbots.name, bots))
        if (found.length < bots.length) throw new BOT_NOT_FOUND()
        if (found.some(row => !titleOf(row).is_ready)) throw new BOT_NOT_READY()
        const conversationId = row.id
        const members = new Set([userId, ...others])
        await tx.insert(conversationUsers).values([...members].map(userId => ({ conversationId, userId })))
        if (found.length > 0) await tx.insert(conversationBots).values(found.map(({ id: chatbotId }) => ({ conversationId, chatbotId })))
        return { ...shown(row), isNew: true }
      })
      if (created.isNew) changed(created.id)
      return created
    },

    /** Creates a guest's conversation that begins with the bot's greeting, which is returned. @throws BOT_NOT_FOUND */
    async createGreeted (userId: number, tx: Transaction): Promise<string> {
      const [bot] = await tx.select({ id: chatbots.id, settings: chatbots.settings }).from(chatbots).where(eq(chatbots.name, ofGuests))
      if (bot === undefined) throw new BOT_NOT_FOUND()
      const greeting = String(bot.settings['greeting'] ?? 'Hello!')
      const [row] = await tx.insert(conversations).values({ name: 'Chat', ownerId: userId, origin: 'api', lastRev: 1 }).returning({ id: conversations.id })
      const conversationId = row!.id
      await tx.insert(conversationUsers).values({ conversationId, userId })
      // Before the message, since the foreign key of this row keeps the bot from being deleted until the commit.
      await tx.insert(conversationBots).values({ conversationId, chatbotId: bot.id })
      await tx.insert(messages).values({ conversationId, id: 1, rev: 1, sender: 'bot', chatbotId: bot.id, text: greeting })
      return greeting
    },

    /** The newest conversation of a guest. @throws CONVERSATION_NOT_FOUND */
    async newestOfGuest (userId: number): Promise<number> {
      const [row] = await db.select({ id: conversations.id }).from(conversations)
        .where(and(eq(conversations.ownerId, userId), eq(conversations.origin, 'api'))).orderBy(desc(conversations.id)).limit(1)
      return orNotFound(row).id
    },

    /** @throws CONVERSATION_NOT_FOUND */
    async change (userId: number, id: number, { name, when_busy, metadata }: ConversationChanges) {
      const settings = await db.transaction(async tx => {
        await lockAsMember(tx, userId, id)
        const [row] = await tx.update(conversations)
          .set({ name, whenBusy: when_busy, metadata, origin: sql`${conversations.origin}` }) // so that the SET is never empty
          .where(eq(conversations.id, id)).returning({ ...titleFor(userId), when_busy: conversations.whenBusy })
        return shown(row!)
      })
      changed(id)
      return settings
    },

    /** @throws CONVERSATION_NOT_FOUND, or NOT_THE_OWNER for a member */
    async remove (userId: number, id: number) {
      const removed = await db.delete(conversations)
        .where(and(eq(conversations.id, id), eq(conversations.ownerId, userId)))
        .returning({ id: conversations.id })
      if (removed.length > 0) return changed(id)
      await this.get(userId, id, 0)
      throw new NOT_THE_OWNER()
    }
  }
}

interface Listed extends JsonRow { id: number, last_updated: Date }

/** The cursor of a list's first page: later than any real time. */
const BEGINNING: Cursor = { time: new Date('5138-12-31'), id: Number.MAX_SAFE_INTEGER }

/** The $2 newest messages of `conversations c`, newest first. */
const NEWEST = `
  SELECT * FROM messages m
  WHERE m.conversation_id = c.id AND m.status <> 'deleted'
  ORDER BY m.id DESC LIMIT $2`

/** The bytes of these messages. */
const NEWEST_BYTES = `(SELECT coalesce(sum(${MESSAGE_BYTES}), 0) FROM (${NEWEST}) newest)`

/** With fewer bytes than this, 200 messages as JSON stay below `PAGE_BYTES`, even if each character is escaped as 6 bytes. */
const SMALL = PAGE_BYTES / 8

/** All of them as JSON, oldest first. */
const ALL_NEWEST = `(SELECT string_agg(${MESSAGE_JSON}, ',' ORDER BY m.id) FROM (${NEWEST}) m ${WITH_NAMES})`

/** Those that fit into `PAGE_BYTES`, at least the newest. Takes twice as long per message. */
const NEWEST_THAT_FIT = `(
  SELECT string_agg(json, ',' ORDER BY id) FROM (
    ${cutWritten({
      rows: `SELECT m.id, ${MESSAGE_JSON} AS json FROM (${cutUnread({ rows: NEWEST, order: 'id DESC', bytes: MESSAGE_BYTES, most: '$2 + 1' })}) m ${WITH_NAMES}`,
      order: 'id DESC'
    })}
  ) fit
)`

/** A conversation `c`, with the `bytes` of its messages, as JSON for the user $1. */
const CONVERSATION_JSON = `(
  '{"id":' || c.id || ',"name":' || to_json(c.name) || ',"is_finished":' || c.is_finished || ',"last_updated":"' || ${jsonTime('c.last_updated')} || '"' ||
  CASE WHEN c.client_id IS NOT NULL AND c.owner_id = $1 THEN ',"client_id":' || to_json(c.client_id) ELSE '' END ||
  CASE WHEN c.metadata IS NOT NULL THEN ',"metadata":' || c.metadata ELSE '' END ||
  ',"unread":' || ${UNREAD({ conversation: 'c.id', user: '$1', readRev: 'c.read_rev' })} || ',"messages":[' ||
  coalesce(CASE WHEN c.bytes < ${SMALL} THEN ${ALL_NEWEST} ELSE ${NEWEST_THAT_FIT} END, '') || ']}'
) AS json`

/** Uses the index from the cursor's minute on and sorts within the minute. Reads messages only for conversations on the page. */
const MEASURED = `
  SELECT c.*, ${NEWEST_BYTES} AS bytes FROM (
    SELECT c.id, c.name, c.is_finished, c.last_updated, c.owner_id, c.client_id, c.metadata, cu.read_rev
    FROM conversation_users cu JOIN conversations c ON c.id = cu.conversation_id
    WHERE cu.user_id = $1 AND cu.used_in <= date_bin('1 minute', $3::timestamptz, 'epoch') AND (c.last_updated, c.id) < ($3::timestamptz, $4)
    ORDER BY cu.used_in DESC, c.last_updated DESC, c.id DESC
    LIMIT $5
  ) c`

const LAST_USED_FIRST = 'last_updated DESC, id DESC'

export const CONVERSATIONS_PAGE = cutWritten({
  rows: `SELECT c.id, c.last_updated, ${CONVERSATION_JSON}, c.more FROM (${cutUnread({ rows: MEASURED, order: LAST_USED_FIRST, bytes: 'bytes', most: '$5' })}) c`,
  order: LAST_USED_FIRST
})

const ONE = `
  SELECT ${CONVERSATION_JSON} FROM (
    SELECT c.*, cu.read_rev, ${NEWEST_BYTES} AS bytes
    FROM conversation_users cu JOIN conversations c ON c.id = cu.conversation_id
    WHERE cu.user_id = $1 AND c.id = $3
  ) c`

/** Leaves out what nobody has set. */
function shown<T extends { client_id: string | null, metadata: Record<string, unknown> | null }> ({ client_id, metadata, ...row }: T) {
  return { ...row, ...client_id !== null && { client_id }, ...metadata !== null && { metadata } }
}

function orNotFound<T> (row: T | undefined): T {
  if (row === undefined) throw new CONVERSATION_NOT_FOUND()
  return row
}
