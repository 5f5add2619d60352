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

/**
 * The most attempts that a job may count when it fails and is to be tried again soon. graphile-worker waits e^attempts seconds before the
 * next attempt: at most 7 minutes for this number, but 50 minutes for 8 and 2 hours for 9.
 */
const MAX_COUNTED_ATTEMPTS = 6

/**
 * Limits the pause before the next attempt of a job to 7 minutes. Call it in the job before it fails. A job that does so each time is tried
 * until it succeeds. Other jobs that are due go first from then on: if a server does not answer, each attempt takes seconds, and many such
 * jobs would hold up all others.
 */
export async function tryAgainSoon (db: Pick<Db, 'execute'>, job: number): Promise<void> {
  await db.execute(sql`UPDATE graphile_worker._private_jobs SET attempts = least(attempts, ${MAX_COUNTED_ATTEMPTS}), priority = 1 WHERE id = ${job}`)
}
