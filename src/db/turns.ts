import { and, eq, sql } from 'drizzle-orm'
import type { Db } from './client.js'
import { turns } from './tables.js'

export type Turns = ReturnType<typeof createTurns>

/**
 * Lets jobs of one key work one after the other, on whichever instance. The queue's own named queues do so, too, but
 * whoever fetches a job locks every queue that is free: they are for few queues, and not for one for each of many.
 */
export function createTurns (db: Db) {
  return {
    /**
     * Works until nothing is waiting, unless another job of this key is at it: that one does not end before it has seen
     * to what was waiting here, or is tried again. So a job that is added for a key must not take the place of one that is
     * under way, as those with the same `job_key` do.
     * @param job the id of the job that calls
     */
    async workAlone (key: string, job: number, work: () => Promise<void>, isWaiting: () => Promise<boolean>): Promise<void> {
      while (await take(key, job)) {
        await work()
        await db.delete(turns).where(and(eq(turns.key, key), eq(turns.job, job)))
        if (!await isWaiting()) return
      }
    }
  }

  async function take (key: string, job: number) {
    const { rows: [row] } = await db.execute<{ mine: boolean }>(sql`SELECT take_turn(${key}, ${job}) AS mine`)
    return row!.mine
  }
}
