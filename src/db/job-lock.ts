import { and, eq, sql } from 'drizzle-orm'
import type { Db } from './client.ts'
import { turns } from './tables.ts'

export type JobLocks = ReturnType<typeof createJobLocks>

/**
 * Runs jobs of the same key one at a time, across all instances. graphile-worker's named queues do this too, but fetching a
 * job locks all free queues, so that they are not made for one queue per contact.
 */
export function createJobLocks (db: Db) {
  return {
    /**
     * Calls `work`, unless another job of this key is running. In that case this job ends, and the other one is told to
     * call its `work` once more before it ends. Otherwise new work would be missed if the other job has just looked for
     * work and is about to end. The other job is retried if it fails or its worker dies.
     * @param job the id of the job that calls
     */
    async workAlone (key: string, job: number, work: () => Promise<void>): Promise<void> {
      let isWanted = true
      while (isWanted && await take(key, job)) {
        await work()
        const released = await db.delete(turns).where(and(eq(turns.key, key), eq(turns.job, job))).returning({ isWanted: turns.isWanted })
        isWanted = released.some(({ isWanted }) => isWanted)
      }
    }
  }

  async function take (key: string, job: number) {
    const { rows: [row] } = await db.execute<{ mine: boolean }>(sql`SELECT take_turn(in_key => ${key}, in_job => ${job}) AS mine`)
    return row!.mine
  }
}
