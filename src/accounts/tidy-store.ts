import { inArray, sql, type SQL } from 'drizzle-orm'
import type { Db } from '../db/client.js'
import { addJob } from '../db/jobs.js'
import { oneTimeTokens, sessions, whatsappDeliveries, whatsappInbox } from '../db/tables.js'

const DAY = 24 * 60 * 60
const AT_ONCE = 10_000

/** For how long one may still want to know of it. */
const LONG_AGO = sql`now() - interval '30 days'`

/** Forgets what nobody needs any more, once a day, on whichever instance. */
export function createTidyStore (db: Db) {
  return {
    /** Has it done soon, and from then on daily. */
    async begin () {
      await addJob(db, 'tidy', {}, { key: 'tidy', inSeconds: 10 * 60 })
    },

    /** Sessions and mailed links that have ended 30 days ago, and what was delivered on WhatsApp, which repeats for seven. */
    async tidy () {
      await db.delete(sessions).where(sql`least(${sessions.expiresAt}, ${sessions.revokedAt}) < ${LONG_AGO}`)
      await db.delete(oneTimeTokens).where(sql`${oneTimeTokens.expiresAt} < ${LONG_AGO}`)
      await forget(whatsappInbox, sql`${whatsappInbox.receivedAt} < ${LONG_AGO} AND ${whatsappInbox.handledAt} < ${LONG_AGO}`)
      await forget(whatsappDeliveries, sql`${whatsappDeliveries.createdAt} < ${LONG_AGO} AND ${whatsappDeliveries.updatedAt} < ${LONG_AGO}
        AND ${whatsappDeliveries.state} <> 'queued'`)
      await addJob(db, 'tidy', {}, { key: 'tidy', inSeconds: DAY })
    }
  }

  /** Some at a time, since there may be many, and a statement has 10 s. */
  async function forget (table: typeof whatsappInbox | typeof whatsappDeliveries, isOver: SQL) {
    for (;;) {
      const some = db.select({ id: table.id }).from(table).where(isOver).limit(AT_ONCE)
      const { rowCount } = await db.delete(table).where(inArray(table.id, some))
      if (rowCount! < AT_ONCE) return
    }
  }
}
