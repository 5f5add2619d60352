import { and, asc, gt, inArray, sql, type SQL } from 'drizzle-orm'
import type { PgTable } from 'drizzle-orm/pg-core'
import type { Db } from '../db/client.ts'
import { addJob } from '../db/jobs.ts'
import { externalSessions, goneConversations, invitations, oneTimeTokens, sessions, users, whatsappDeliveries, whatsappInbox } from '../db/tables.ts'
import { lockForRemoval, removeLocked, unlessRolledBack } from './removal-store.ts'
import type { Sessions } from './sessions.ts'

const DAY_SECONDS = 24 * 60 * 60
const BATCH_SIZE = 10_000
/** How many users are deleted in one transaction. */
const USER_BATCH_SIZE = 50

/** How long rows are kept after they have ended, in case somebody still looks for them. */
const LONG_AGO = sql`now() - interval '30 days'`

/** The daily clean-up, which runs on one of the instances. */
export function createTidyStore (db: Db) {
  return {
    /** Schedules the first run, in 10 minutes. Each run schedules the next. */
    async begin () {
      await addJob(db, 'tidy', {}, { key: 'tidy', inSeconds: 10 * 60 })
    },

    /**
     * Deletes sessions, links in mails and invitations that ended more than 30 days ago, who was in which conversation until
     * then, and WhatsApp's inbox and ledger of that age; WhatsApp repeats webhooks for seven days, so a repeated one is still recognized. Also deletes users without
     * an account who have not been active for `retentionDays` (0: never).
     */
    async tidy ({ retentionDays, sessions: { announce } }: { retentionDays: number, sessions: Pick<Sessions, 'announce'> }) {
      if (retentionDays > 0) await forgetUnused(sql`now() - make_interval(days => ${retentionDays})`, announce)
      // Before the sessions: without its session, an external session refuses its tokens, and each further token would keep it.
      await forget(externalSessions, sql`${externalSessions.endsAt} < ${LONG_AGO}`)
      await forget(sessions, sql`least(${sessions.expiresAt}, ${sessions.revokedAt}) < ${LONG_AGO}`)
      await forget(oneTimeTokens, sql`${oneTimeTokens.expiresAt} < ${LONG_AGO} OR (${oneTimeTokens.userId} IS NULL AND ${oneTimeTokens.createdAt} < now() - interval '1 hour')`)
      await forget(goneConversations, sql`${goneConversations.goneAt} < ${LONG_AGO}`)
      await forget(invitations, sql`least(${invitations.expiresAt}, ${invitations.usedAt}) < ${LONG_AGO}`)
      await forget(whatsappInbox, sql`${whatsappInbox.receivedAt} < ${LONG_AGO} AND ${whatsappInbox.handledAt} < ${LONG_AGO}`)
      await forget(whatsappDeliveries, sql`${whatsappDeliveries.createdAt} < ${LONG_AGO} AND ${whatsappDeliveries.updatedAt} < ${LONG_AGO}
        AND ${whatsappDeliveries.state} <> 'queued'`)
      await addJob(db, 'tidy', {}, { key: 'tidy', inSeconds: DAY_SECONDS })
    }
  }

  /**
   * Deletes guests, phones and WhatsApp contacts that have not been active since. The table is searched in windows, because
   * a statement may take 10 s at most. The condition is checked again under the locks, so that users who have come back in
   * the meantime stay. A WhatsApp message may still arrive after that, since it takes none of the locks. Then the whole batch
   * stays until the next day.
   */
  async function forgetUnused (since: SQL, announce: Sessions['announce']) {
    for (let last: number | undefined = 0; last !== undefined;) {
      const window = await db.select({ id: users.id, isUnused: isUnused(since) }).from(users).where(gt(users.id, last)).orderBy(asc(users.id)).limit(BATCH_SIZE)
      const unused = window.filter(({ isUnused }) => isUnused).map(({ id }) => id)
      for (let first = 0; first < unused.length; first += USER_BATCH_SIZE) {
        const some = unused.slice(first, first + USER_BATCH_SIZE)
        const ended = await db.transaction(async tx => {
          await lockForRemoval(tx, some, async part => await part.select({ id: users.id }).from(users).where(inArray(users.id, some)).orderBy(asc(users.id)).for('update'))
          const still = await tx.select({ id: users.id }).from(users).where(and(inArray(users.id, some), isUnused(since)))
          return await removeLocked(tx, still.map(({ id }) => id), since)
        }).catch(unlessRolledBack)
        await announce(ended ?? [])
      }
      last = window[BATCH_SIZE - 1]?.id
    }
  }

  /** Deletes rows in batches: there may be many, and a statement may take 10 s at most. */
  async function forget (table: PgTable, isOver: SQL) {
    for (;;) {
      // By ctid, where a row is stored, because not every table has an id. A row that is changed meanwhile moves, and is kept until the next day.
      const { rowCount } = await db.delete(table).where(sql`ctid = ANY(ARRAY(SELECT ctid FROM ${table} WHERE ${isOver} LIMIT ${BATCH_SIZE}))`)
      if (rowCount! < BATCH_SIZE) return
    }
  }
}

/**
 * Whether a user without an account has not been active since: no login, no session, no conversation and no WhatsApp message. One that
 * waits in the inbox counts, too: `last_message_at` is set only when it is answered.
 */
const isUnused = (since: SQL) => sql<boolean>`(
  users.username IS NULL AND users.password_hash IS NULL AND (users.is_guest OR is_contact_origin(users.origin))
  AND greatest(users.created_at, users.last_login_at) < ${since}
  AND NOT EXISTS (SELECT FROM sessions s WHERE s.user_id = users.id AND s.last_used_at >= ${since})
  AND NOT EXISTS (SELECT FROM conversations c WHERE c.owner_id = users.id AND c.last_updated >= ${since})
  AND NOT EXISTS (
    SELECT FROM identities i JOIN whatsapp_contacts w ON i.address IN (w.contact, w.phone, w.user_id)
    WHERE i.user_id = users.id AND i.channel = 'whatsapp' AND w.last_message_at >= ${since})
  AND NOT EXISTS (
    SELECT FROM identities i JOIN whatsapp_inbox w ON w.contact = i.address
    WHERE i.user_id = users.id AND i.channel = 'whatsapp' AND w.kind = 'message' AND w.handled_at IS NULL AND w.received_at >= ${since})
)`
