import { eq, sql } from 'drizzle-orm'
import type { Db } from '../db/client.ts'
import { workers } from '../db/tables.ts'

/**
 * Records which job workers are alive. A job that is locked names its worker, but the queue cannot tell whether that worker
 * still lives and would wait for four hours. Here workers send heartbeats, and jobs of dead ones are unlocked. All times
 * are the database's.
 */
export function createWorkerStore (db: Db) {
  return {
    async isAlive (id: string) {
      await db.insert(workers).values({ id }).onConflictDoUpdate({ target: workers.id, set: { seenAt: sql`now()` } })
    },

    /**
     * Unlocks the jobs of workers without a heartbeat for `seconds`, if they were locked before that: a worker that has just
     * taken its first job may not have sent a heartbeat yet.
     *
     * When a job is added with the key of one that is running, graphile-worker removes the key of the running one and uses up
     * its attempts. If its worker dies, that job would stay in the queue for good and count as failed. So it gets an attempt back.
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

    /**
     * Takes jobs away from a living worker that has locked them but does not run them: the response of the query that locked
     * them was lost. They get the name of a worker that does not exist, so that `unlockDead` unlocks them.
     * @param running the ids of the jobs that the worker runs
     * @param seconds how long ago a job must have been locked
     */
    async disownLost (id: string, running: string[], seconds: number) {
      await db.execute(sql`
        UPDATE graphile_worker._private_jobs SET locked_by = ${`${id}-lost`}
        WHERE locked_by = ${id} AND locked_at < now() - make_interval(secs => ${seconds}) AND id <> ALL (${sql.param(running)}::bigint[])`)
    },

    async isGone (id: string) {
      await db.delete(workers).where(eq(workers.id, id))
    }
  }
}
