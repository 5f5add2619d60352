import { and, eq, sql } from 'drizzle-orm'
import type { Db } from './client.ts'
import { turns } from './tables.ts'

export type JobLocks = ReturnType<typeof createJobLocks>

/**
 * Lets jobs of one key work one after the other, on whichever instance. The queue's own named queues do so, too, but
 * fetching a job locks every queue that is free, so they suit a few queues, not one for each contact.
 */
export function createJobLocks (db: Db) {
  return {
    /**
     * Works, unless another job of this key is working. A job that finds another one at work ends, and leaves a note: the
     * other one works once more before it ends, and is retried if it fails or its worker dies. Without the note the
     * wake-up would be lost when the other one has just looked for work and not yet ended.
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
