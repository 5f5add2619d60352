import { sql } from 'drizzle-orm'
import type { Db } from '../db/client.js'
import { addJob } from '../db/jobs.js'
import { oneTimeTokens, sessions } from '../db/tables.js'

const DAY = 24 * 60 * 60

/** For how long one may still want to know of it. */
const LONG_AGO = sql`now() - interval '30 days'`

/** Forgets what nobody needs any more, once a day, on whichever instance. */
export function createTidyStore (db: Db) {
  return {
    /** Has it done soon, and from then on daily. */
    async begin () {
      await addJob(db, 'tidy', {}, { key: 'tidy', inSeconds: 10 * 60 })
    },

    /** Sessions and mailed links that have ended 30 days ago. */
    async tidy () {
      await db.delete(sessions).where(sql`least(${sessions.expiresAt}, ${sessions.revokedAt}) < ${LONG_AGO}`)
      await db.delete(oneTimeTokens).where(sql`${oneTimeTokens.expiresAt} < ${LONG_AGO}`)
      await addJob(db, 'tidy', {}, { key: 'tidy', inSeconds: DAY })
    }
  }
}
