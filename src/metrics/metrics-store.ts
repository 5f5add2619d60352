import { sql } from 'drizzle-orm'
import { isAlive } from '../accounts/sessions.ts'
import type { Db } from '../db/client.ts'
import { deliveryState, sessionKind, sessions, whatsappDeliveries, whatsappHolds } from '../db/tables.ts'

export type MetricsStore = ReturnType<typeof createMetricsStore>

export interface Counted extends Record<string, unknown> { what: 'sessions' | 'jobs' | 'oldest' | 'deliveries' | 'held', state: string, value: number }

/** `waiting`: due now. `working`: running. `scheduled`: due later. `retrying`: has failed and is tried again later. `failed`: given up. */
const JOB_STATES = ['waiting', 'working', 'scheduled', 'retrying', 'failed']

/** Counts what is in the database, for all instances, in one query. States without any rows are included, as 0. */
export function createMetricsStore (db: Db) {
  const every = (what: Counted['what'], states: readonly string[]) =>
    sql`SELECT ${what} AS what, state, 0 AS value FROM unnest(${sql.param(states)}::text[]) AS state`

  return {
    async count (): Promise<Counted[]> {
      const { rows } = await db.execute<Counted>(sql`
        WITH jobs AS (
          SELECT run_at, CASE
            WHEN locked_at IS NOT NULL THEN 'working' WHEN attempts >= max_attempts THEN 'failed'
            WHEN run_at <= now() THEN 'waiting' WHEN attempts > 0 THEN 'retrying' ELSE 'scheduled' END AS state
          FROM graphile_worker.jobs
        ), newest AS (
          SELECT ${whatsappDeliveries.state}, ${whatsappDeliveries.createdAt} FROM ${whatsappDeliveries} ORDER BY ${whatsappDeliveries.id} DESC LIMIT 10000
        ), counted AS (
          ${every('sessions', sessionKind.enumValues)}
          UNION ALL SELECT 'sessions', ${sessions.kind}::text, count(*) FROM ${sessions} WHERE ${isAlive} GROUP BY ${sessions.kind}
          UNION ALL ${every('jobs', JOB_STATES)}
          UNION ALL SELECT 'jobs', state, count(*) FROM jobs GROUP BY state
          UNION ALL SELECT 'oldest', '', coalesce(extract(epoch FROM now() - min(run_at)), 0) FROM jobs WHERE state = 'waiting'
          UNION ALL SELECT 'held', '', coalesce(extract(epoch FROM now() - min(${whatsappHolds.since})), 0) FROM ${whatsappHolds}
          UNION ALL ${every('deliveries', deliveryState.enumValues)}
          UNION ALL SELECT 'deliveries', 'queued', count(*) FROM ${whatsappDeliveries} WHERE ${whatsappDeliveries.state} = 'queued'
          UNION ALL SELECT 'deliveries', state::text, count(*) FROM newest
            WHERE state <> 'queued' AND created_at > now() - interval '1 day' GROUP BY state
        )
        SELECT what, state, sum(value)::float AS value FROM counted GROUP BY what, state`)
      return rows
    }
  }
}
