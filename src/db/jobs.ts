import { sql } from 'drizzle-orm'
import type { Db } from './client.ts'

export interface JobSpec {
  /** A new job replaces one with the same key that has not started yet. */
  key?: string
  /** Runs no earlier than this many seconds from now. */
  inSeconds?: number
}

/**
 * Adds a job for the workers. If `db` is a transaction, the job exists only once that is committed. Then no job runs for
 * data that was never stored, and no stored data lacks its job.
 * @see https://worker.graphile.org/docs/sql-add-job
 */
export async function addJob (db: Pick<Db, 'execute'>, task: string, payload: object, { key, inSeconds = 0 }: JobSpec = {}): Promise<void> {
  await db.execute(sql`SELECT FROM graphile_worker.add_job(${task}, payload => ${JSON.stringify(payload)}, job_key => ${key ?? null},
    run_at => now() + make_interval(secs => ${inSeconds}))`)
}
