import { eq, sql } from 'drizzle-orm'
import type { Db } from '../db/client.js'
import { workers } from '../db/tables.js'

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
     * Gives back to all workers the jobs whose holder was not seen for so many seconds. One that has just taken its
     * first job may not have said that it lives.
     */
    async unlockDead (seconds: number) {
      const since = sql`now() - make_interval(secs => ${seconds})`
      await db.execute(sql`
        SELECT graphile_worker.force_unlock_workers(array_agg(job.locked_by))
        FROM graphile_worker.jobs job
        WHERE job.locked_at < ${since} AND NOT EXISTS
          (SELECT FROM workers worker WHERE worker.id = job.locked_by AND worker.seen_at > ${since})
        HAVING count(*) > 0`)
      await db.delete(workers).where(sql`${workers.seenAt} < ${since}`)
    },

    async isGone (id: string) {
      await db.delete(workers).where(eq(workers.id, id))
    }
  }
}
