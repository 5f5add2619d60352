import { and, eq, gte, isNull, ne, sql } from 'drizzle-orm'
import { lockAsMember } from '../../conversations/members/store.ts'
import type { Db, Transaction } from '../../db/client.ts'
import { messages } from '../../db/tables.ts'
import { MESSAGE_NOT_FOUND, NOT_THE_OWNER } from '../../errors.ts'
import { FROM_MESSAGES, MESSAGE, shown, type Message, type MessageRow } from '../../log/message.ts'
import { IS_MEMBER } from '../../log/membership.ts'
import type { MessageKey } from '../../replies/store.ts'
import { prefixOf, type Named } from './ids.ts'

export type ExchangeStore = ReturnType<typeof createExchangeStore>

/** A message in the log, with its author's user id and its client id, which in a reply is the run that asked for it. */
type Authored = Message & { author: number | null, clientId: string | null }

/**
 * A user's message and the replies to it; or a bot's message that answers nothing. `isDeleted`: the id that was looked for is that of
 * the user's message, which was deleted. `lastRev` is the number of the conversation's last change so far.
 */
export interface KnownExchange { question: Authored, replies: Authored[], isDeleted: boolean, lastRev: number }

/** What a conversation is cut after: a question with its replies, up to a rev. */
interface Cut extends MessageKey { upTo: number }

/** Finds conversations and exchanges by the ids that front ends made up. `changed` is called with the conversation after each commit. */
export function createExchangeStore (db: Db, changed: (conversation: number) => void) {
  return {
    /** The conversation that the user created with this client id, or that has this number and the user as a member. */
    async conversation (user: number, clientId: string, id: number | null): Promise<number | undefined> {
      const { rows: [row] } = await db.$client.query<{ id: number }>({ name: 'ui_conversation', text: CONVERSATION, values: [user, clientId, id] })
      return row?.id
    },

    /** The replies that are streaming or queued, the streaming one first. The caller has checked that the user may read them. */
    async underWay (conversation: number): Promise<Message[]> {
      const { rows } = await db.$client.query<MessageRow>({ name: 'ui_under_way', text: UNDER_WAY, values: [conversation] })
      return rows.map(shown)
    },

    /** The exchange that has this message, if any. The caller has checked that the user may read it. */
    async exchange (user: number, conversation: number, { clientId, id }: Named): Promise<KnownExchange | undefined> {
      const { rows } = await db.$client.query<MessageRow & Pick<Authored, 'author' | 'clientId'> & { isDeleted: boolean, lastRev: number }>({ name: 'ui_exchange', text: EXCHANGE, values: [conversation, user, clientId, id] })
      const [question, ...replies] = rows.map(({ isDeleted, lastRev, ...row }) => shown(row))
      return question && { question, replies, isDeleted: rows[0]!.isDeleted, lastRev: rows[0]!.lastRev }
    },

    /** Checks whether the user may cut a conversation as `cutAfter` does. @throws CONVERSATION_NOT_FOUND, NOT_THE_OWNER */
    async mustBeAllowedToCut (user: number, cut: Cut) {
      await db.transaction(async tx => await lockForCut(tx, user, cut))
    },

    /**
     * Deletes the messages after a question and its replies up to the rev `upTo`, and gives the question a new text if there is
     * one. Messages with a later rev stay: they were sent after the request came, so the user has not seen them.
     * @throws CONVERSATION_NOT_FOUND, MESSAGE_NOT_FOUND when the question was deleted meanwhile, and NOT_THE_OWNER when one of
     * the messages is not the user's, and the user does not own the conversation
     */
    async cutAfter (tx: Transaction, user: number, cut: Cut & { text?: string | undefined }) {
      const { conversation, id, text } = cut
      await lockForCut(tx, user, cut)
      const rev = sql`next_rev(${conversation})`
      const after = isAfter(cut)
      await tx.execute(sql`SELECT FROM ${messages} WHERE (${after}) OR ${messages.conversationId} = ${conversation} AND ${messages.id} = ${id} FOR NO KEY UPDATE`)
      await tx.update(messages).set({ text: '', parts: null, metadata: null, status: 'deleted', rev }).where(after)
      if (text === undefined) return
      const changed = await tx.update(messages).set({ text, parts: null, error: null, rev })
        .where(and(eq(messages.conversationId, conversation), eq(messages.id, id), ne(messages.status, 'deleted'))).returning({ id: messages.id })
      if (changed.length === 0) throw new MESSAGE_NOT_FOUND()
    },

    /** The ids that front ends made up for the user's messages from this one on, by the ids in the conversation. */
    async ownIds (user: number, { conversation, id }: MessageKey): Promise<Map<number, string>> {
      const prefix = prefixOf(conversation)
      const rows = await db.select({ id: messages.id, clientId: messages.clientId }).from(messages)
        .where(and(eq(messages.conversationId, conversation), gte(messages.id, id), eq(messages.userId, user), sql`starts_with(${messages.clientId}, ${prefix})`))
      return new Map(rows.map(({ id, clientId }) => [id, clientId!.slice(prefix.length)]))
    },

    /** Notes which run asks for the replies to a message, unless another run was first. The run is the client id of the replies. */
    async begin (run: string, { conversation, id }: MessageKey) {
      await db.update(messages).set({ clientId: run })
        .where(and(eq(messages.conversationId, conversation), eq(messages.replyTo, id), isNull(messages.clientId)))
    },

    /**
     * Notes that this run asks for a reply again, in the transaction that does so. False if it has done so before. Locks the
     * conversation first, as all do who change its messages.
     */
    async beginAgain (tx: Transaction, user: number, run: string, { conversation, id }: MessageKey): Promise<boolean> {
      await lockAsMember(tx, user, conversation)
      const begun = await tx.update(messages).set({ clientId: run })
        .where(and(eq(messages.conversationId, conversation), eq(messages.id, id), sql`${messages.clientId} IS DISTINCT FROM ${run}`)).returning({ id: messages.id })
      return begun.length > 0
    },

    /** Changes a conversation without asking a bot again. */
    async change (conversation: number, change: (tx: Transaction) => Promise<void>) {
      await db.transaction(change)
      changed(conversation)
    }
  }
}

/** Locks a conversation, of which the user must own what is to be deleted. */
async function lockForCut (tx: Transaction, user: number, cut: Cut) {
  const { isOwner } = await lockAsMember(tx, user, cut.conversation)
  const [foreign] = isOwner ? [] : await tx.select({ id: messages.id }).from(messages).where(and(isAfter(cut), sql`${messages.userId} IS DISTINCT FROM ${user}`)).limit(1)
  if (foreign !== undefined) throw new NOT_THE_OWNER()
}

function isAfter ({ conversation, id, upTo }: Cut) {
  return sql`${messages.conversationId} = ${conversation} AND ${messages.id} > ${id} AND ${messages.id} <= ${upTo}
    AND ${messages.replyTo} IS DISTINCT FROM ${id} AND ${messages.status} <> 'deleted'`
}

const CONVERSATION = `
  SELECT c.id FROM conversations c
  WHERE (c.owner_id = $1 AND c.client_id = $2 OR c.id = $3) AND ${IS_MEMBER('c.id', '$1')}
  ORDER BY c.client_id IS NOT DISTINCT FROM $2 AND c.owner_id = $1 DESC LIMIT 1`

const UNDER_WAY = `
  SELECT ${MESSAGE} ${FROM_MESSAGES}
  WHERE m.conversation_id = $1 AND m.status IN ('streaming', 'queued')
  ORDER BY m.status = 'streaming' DESC, m.id`

const EXCHANGE = `
  WITH named AS (
    SELECT CASE m.sender WHEN 'user' THEN m.id ELSE coalesce(m.reply_to, m.id) END AS question, m.status = 'deleted' AS is_deleted FROM messages m
    WHERE m.conversation_id = $1 AND (m.sender = 'user' OR m.status <> 'deleted')
      AND CASE WHEN $3::text IS NULL AND $4::bigint IS NULL THEN m.reply_to IS NOT NULL ELSE m.user_id = $2 AND m.client_id = $3 OR m.id = $4 END
    ORDER BY m.user_id = $2 AND m.client_id IS NOT DISTINCT FROM $3 DESC NULLS LAST, m.id DESC LIMIT 1
  )
  SELECT ${MESSAGE}, m.user_id AS author, m.client_id AS "clientId", (SELECT is_deleted FROM named) AS "isDeleted", (SELECT last_rev FROM conversations WHERE id = $1) AS "lastRev" ${FROM_MESSAGES}
  WHERE m.conversation_id = $1 AND (m.id = (SELECT question FROM named) OR m.reply_to = (SELECT question FROM named) AND m.status <> 'deleted')
  ORDER BY m.id`
