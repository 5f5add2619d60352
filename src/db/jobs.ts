import { sql } from 'drizzle-orm'
import type { Db } from './client.ts'

export interface JobSpec {
  /** Of the jobs of one key that nobody has begun yet, only the last one stays. */
  key?: string
  /** Runs no earlier than this many seconds from now. */
  inSeconds?: number
}

/**
 * Adds a job for the workers. Given a transaction, the job is there when the transaction is: nobody does what was never
 * stored, and nothing that was stored is forgotten.
 * @see https://worker.graphile.org/docs/sql-add-job
 */
export async function addJob (db: Pick<Db, 'execute'>, task: string, payload: object, { key, inSeconds = 0 }: JobSpec = {}): Promise<void> {
  await db.execute(sql`SELECT FROM graphile_worker.add_job(${task}, payload => ${JSON.stringify(payload)}, job_key => ${key ?? null},
    run_at => now() + make_interval(secs => ${inSeconds}))`)
}
