import { and, asc, eq, gt, inArray, lt, or, sql } from 'drizzle-orm'
import type { PgColumn } from 'drizzle-orm/pg-core'
import type { Db } from '../db/client.ts'
import {
  adminLog, chatbots, conversations, conversationUsers, externalUsers, goneConversations, identities, invitations, messages, oneTimeTokens, replyCosts, serverKeys, sessions, users
} from '../db/tables.ts'
import { UNAUTHORIZED } from '../errors.ts'
import { failureCodeOf, LEFT_OUT } from '../failures.ts'

export type ExportStore = ReturnType<typeof createExportStore>

/** How many messages or other rows are read at a time, and about how many bytes of the messages' texts. */
const BATCH_SIZE = 500
const BATCH_BYTES = 1024 * 1024

/** How many conversations: what bots remember of one may take 512 KiB. */
const CONVERSATIONS_BATCH_SIZE = 20

/** Reads everything that is stored about a user, page by page, so that a slow reader holds no connection or transaction. */
export function createExportStore (db: Db) {
  const isSharedFor = (userId: number) =>
    sql<boolean>`EXISTS (SELECT FROM conversation_users others WHERE others.conversation_id = ${conversations.id} AND others.user_id <> ${userId})`

  /** The ids of the messages after one, with their `count`, and the bytes of the texts before each. */
  function nextMessages (userId: number, conversation: { id: number, is_shared: boolean }, after: number) {
    const next = db.select({ id: messages.id, bytes: sql<number>`octet_length(${messages.text}) + coalesce(pg_column_size(${messages.parts}), 0) + coalesce(pg_column_size(${messages.metadata}), 0)`.as('bytes') }).from(messages).where(and(
      eq(messages.conversationId, conversation.id), gt(messages.id, after),
      conversation.is_shared ? eq(messages.userId, userId) : undefined
    )).orderBy(asc(messages.id)).limit(BATCH_SIZE).as('next')
    return db.select({
      id: next.id,
      before: sql<number>`sum(${next.bytes}) OVER (ORDER BY ${next.id}) - ${next.bytes}`.as('before'),
      count: sql<number>`count(*) OVER ()`.as('count')
    }).from(next).as('measured')
  }

  return {
    /** Everything except conversations and hashes. @throws UNAUTHORIZED when the account was deleted meanwhile */
    async person (userId: number) {
      const [profile] = await db.select({
        id: users.id,
        username: users.username,
        name: users.name,
        picture: users.picture,
        email: users.email,
        email_verified_at: users.emailVerifiedAt,
        phone_number: users.phoneNumber,
        metadata: users.metadata,
        is_guest: users.isGuest,
        origin: users.origin,
        role: users.role,
        budget: users.budgetTokens,
        locked_at: users.lockedAt,
        created_at: users.createdAt,
        last_login_at: users.lastLoginAt
      }).from(users).where(eq(users.id, userId))
      if (profile === undefined) throw new UNAUTHORIZED()
      const known = await db.select({ channel: identities.channel, address: identities.address }).from(identities).where(eq(identities.userId, userId))
      const external = await db.select({ issuer: externalUsers.issuer, external_id: externalUsers.subject }).from(externalUsers).where(eq(externalUsers.userId, userId))
      const entered = await db.select({
        id: sessions.id,
        kind: sessions.kind,
        user_agent: sessions.userAgent,
        ip: sessions.ip,
        created_at: sessions.createdAt,
        last_used_at: sessions.lastUsedAt,
        expires_at: sessions.expiresAt,
        revoked_at: sessions.revokedAt
      }).from(sessions).where(eq(sessions.userId, userId)).orderBy(asc(sessions.id))
      const mailed = await db.select({
        purpose: oneTimeTokens.purpose,
        address: oneTimeTokens.address,
        created_at: oneTimeTokens.createdAt,
        expires_at: oneTimeTokens.expiresAt,
        used_at: oneTimeTokens.usedAt
      }).from(oneTimeTokens).where(eq(oneTimeTokens.userId, userId)).orderBy(asc(oneTimeTokens.id))
      const invited = await db.select({
        is_own: sql<boolean>`${invitations.createdBy} IS NOT DISTINCT FROM ${userId}`,
        created_at: invitations.createdAt,
        expires_at: invitations.expiresAt,
        used_at: invitations.usedAt
      }).from(invitations).where(or(eq(invitations.createdBy, userId), eq(invitations.usedBy, userId))).orderBy(asc(invitations.id))
      const keys = await db.select({
        name: serverKeys.name,
        scopes: serverKeys.scopes,
        created_at: serverKeys.createdAt,
        expires_at: serverKeys.expiresAt,
        last_used_at: serverKeys.lastUsedAt,
        revoked_at: serverKeys.revokedAt
      }).from(serverKeys).where(eq(serverKeys.createdBy, userId)).orderBy(asc(serverKeys.id))
      const left = await db.select({ id: goneConversations.conversationId, left_at: goneConversations.goneAt }).from(goneConversations)
        .where(eq(goneConversations.userId, userId)).orderBy(asc(goneConversations.conversationId))
      return {
        profile, identities: known, external_identities: external, sessions: entered, links_sent: mailed, invitations: invited, server_keys: keys, left_conversations: left
      }
    },

    /** What the replies to the user have cost, page by page. In the order of the index of users: by id, a plan could read those of all users. */
    async * costs (userId: number) {
      const { createdAt, id } = replyCosts
      const read = async (after: { at: string, id: number } = { at: '-infinity', id: 0 }) => await db.select({
        at: sql<string>`${createdAt}::text`, // with microseconds, which a Date does not have
        id,
        created_at: createdAt,
        conversation: replyCosts.conversationId,
        message: replyCosts.messageId,
        bot: replyCosts.botName,
        model: replyCosts.model,
        status: replyCosts.status,
        prompt_tokens: replyCosts.promptTokens,
        completion_tokens: replyCosts.completionTokens,
        is_estimate: replyCosts.isEstimate
      }).from(replyCosts).where(and(eq(replyCosts.userId, userId), sql`(${createdAt}, ${id}) > (${after.at}::timestamptz, ${after.id})`))
        .orderBy(asc(createdAt), asc(id)).limit(BATCH_SIZE)
      for await (const page of pages(read)) yield page.map(({ at, ...cost }) => cost)
    },

    /** What admins, or servers with a key, have done to the account, page by page. Who it was is not the user's data. */
    adminActions: (userId: number) => pages(async (after: { id: number } = { id: 0 }) => await db.select({ id: adminLog.id, created_at: adminLog.createdAt, action: adminLog.action })
      .from(adminLog).where(and(eq(adminLog.userId, userId), gt(adminLog.id, after.id))).orderBy(asc(adminLog.id)).limit(BATCH_SIZE)),

    /**
     * The conversations that the user is in or has written in, page by page. The bots' state is included only if the user is the only member. If the
     * user has left a conversation, its name and what else may have changed since are null: only members may know them.
     */
    async * conversations (userId: number) {
      const isShared = isSharedFor(userId)
      const ifMember = (column: PgColumn) => sql`CASE WHEN ${conversationUsers.userId} IS NOT NULL THEN ${column} END`.mapWith(column)
      const rows = await db.select({ id: conversationUsers.conversationId }).from(conversationUsers).where(eq(conversationUsers.userId, userId))
        .union(db.select({ id: messages.conversationId }).from(messages).where(eq(messages.userId, userId)))
        .orderBy(sql`1`)
      for (let first = 0; first < rows.length; first += CONVERSATIONS_BATCH_SIZE) {
        yield await db.select({
          id: conversations.id,
          name: ifMember(conversations.name),
          origin: conversations.origin,
          is_owner: sql<boolean>`${conversations.ownerId} = ${userId}`,
          is_shared: isShared,
          is_finished: ifMember(conversations.isFinished),
          created_at: conversations.createdAt,
          joined_at: conversationUsers.joinedAt,
          read_rev: conversationUsers.readRev,
          last_updated: ifMember(conversations.lastUpdated),
          client_id: sql<string | null>`CASE WHEN ${conversations.ownerId} = ${userId} THEN ${conversations.clientId} END`,
          metadata: ifMember(conversations.metadata),
          remembered_by_bots: sql<unknown>`CASE WHEN NOT ${isShared} THEN ${conversations.state} END`
        }).from(conversations)
          .leftJoin(conversationUsers, and(eq(conversationUsers.conversationId, conversations.id), eq(conversationUsers.userId, userId)))
          .where(inArray(conversations.id, rows.slice(first, first + CONVERSATIONS_BATCH_SIZE).map(({ id }) => id)))
          .orderBy(asc(conversations.id))
      }
    },

    /** The messages of a conversation, page by page: all of them, or only the user's own if it is shared. */
    async * messages (userId: number, conversation: { id: number, is_shared: boolean }) {
      for (let last: number | undefined = 0; last !== undefined;) {
        const measured = nextMessages(userId, conversation, last)
        const page = await db.select({
          count: measured.count,
          id: messages.id,
          rev: messages.rev,
          sender: messages.sender,
          username: sql<string | null>`coalesce(${messages.agentName}, ${users.username}, ${users.name}, ${chatbots.name})`,
          text: messages.text,
          status: messages.status,
          client_id: messages.clientId,
          parts: messages.parts,
          metadata: messages.metadata,
          created_at: messages.createdAt,
          error: messages.error
        }).from(measured)
          .innerJoin(messages, and(eq(messages.conversationId, conversation.id), eq(messages.id, measured.id)))
          .leftJoin(users, eq(users.id, messages.userId))
          .leftJoin(chatbots, eq(chatbots.id, messages.chatbotId))
          .where(lt(measured.before, BATCH_BYTES))
          .orderBy(asc(messages.id))
        yield page.map(({ error, count, ...message }) => {
          const { status } = message
          if (status === 'failed') return { ...message, failure: failureCodeOf(error) }
          return error === LEFT_OUT && status !== 'deleted' ? { ...message, failure: 'MESSAGE_REFUSED' } : message
        })
        const found = page[0]?.count ?? 0
        last = page.length < found || found === BATCH_SIZE ? page.at(-1)!.id : undefined
      }
    }
  }
}

/** Reads rows page by page. `read` gives those after a row, or the first ones. */
async function * pages<Row> (read: (after?: Row) => Promise<Row[]>) {
  let page = await read()
  while (page.length === BATCH_SIZE) {
    yield page
    page = await read(page.at(-1))
  }
  yield page
}
