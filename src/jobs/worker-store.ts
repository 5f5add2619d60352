import { eq, sql } from 'drizzle-orm'
import type { Db } from '../db/client.ts'
import { workers } from '../db/tables.ts'

/**
 * Who works on jobs, and who does not any more. A job says by whom it is held and not whether that one lives: the
 * queue itself waits for four hours. All times are the database's.
 */
export function createWorkerStore (db: Db) {
  return {
    async isAlive (id: string) {
      await db.insert(workers).values({ id }).onConflictDoUpdate({ target: workers.id, set: { seenAt: sql`now()` } })
    },

    /**
     * Unlocks the jobs of workers that were not seen for `seconds`. A worker that has just taken its
     * first job may not have said yet that it lives. A job that was replaced by one of the same key while it ran has no
     * attempts left: it would stay in the queue for good, and count as one that failed, so it gets its attempts back.
     */
    async unlockDead (seconds: number) {
      const since = sql`now() - make_interval(secs => ${seconds})`
      const isDead = sql`job.locked_at < ${since} AND NOT EXISTS
        (SELECT FROM ${workers} WHERE ${workers.id} = job.locked_by AND ${workers.seenAt} > ${since})`
      await db.execute(sql`
        UPDATE graphile_worker._private_jobs job SET attempts = 1
        WHERE job.key IS NULL AND job.attempts >= job.max_attempts AND ${isDead}`)
      await db.execute(sql`
        SELECT graphile_worker.force_unlock_workers(array_agg(job.locked_by)) FROM graphile_worker.jobs job
        WHERE ${isDead} HAVING count(*) > 0`)
      await db.delete(workers).where(sql`${workers.seenAt} < ${since}`)
    },

    async isGone (id: string) {
      await db.delete(workers).where(eq(workers.id, id))
    }
  }
}
