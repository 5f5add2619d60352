import { and, eq, inArray, isNull, sql } from 'drizzle-orm'
import type { Db, Transaction } from '../../db/client.ts'
import { addJob } from '../../db/jobs.ts'
import { whatsappDeliveries, whatsappHolds } from '../../db/tables.ts'
import type { Problem } from './reading.ts'

export type HoldStore = ReturnType<typeof createHoldStore>

/** In seconds: how often one message is tried while all are held. */
const PROBE_INTERVAL_SECONDS = 60

const inSeconds = (seconds: number) => sql`now() + make_interval(secs => ${seconds})`

/**
 * Holds everything that is queued, since our account can send nothing. The transaction that notes the trouble also adds
 * the job that tries again. Gives whether nothing was held before.
 * @param isByStatus whether Meta told so only after it had taken a message
 */
export async function holdAll (tx: Transaction, problem: Problem, isByStatus: boolean): Promise<boolean> {
  const [hold] = await tx.insert(whatsappHolds).values({ ...problem, isByStatus, tryAt: inSeconds(PROBE_INTERVAL_SECONDS) }).onConflictDoUpdate({
    target: whatsappHolds.id,
    set: { ...problem, isByStatus: sql`${whatsappHolds.isByStatus} OR excluded.is_by_status`, probeId: null }
  }).returning({ isNew: sql<boolean>`xmax = 0` })
  if (hold!.isNew) await probeIn(tx, PROBE_INTERVAL_SECONDS)
  return hold!.isNew
}

/** Ends the hold because a status says that the message which was tried is on its way. */
export async function releaseFor (tx: Transaction, whatsappId: string): Promise<void> {
  const probe = tx.select({ id: whatsappDeliveries.id }).from(whatsappDeliveries).where(eq(whatsappDeliveries.whatsappId, whatsappId))
  const { rowCount } = await tx.delete(whatsappHolds).where(inArray(whatsappHolds.probeId, probe))
  if (rowCount !== 0) await probeIn(tx, 0)
}

/** One probe at the most waits; it may take the place of one that is under way. */
export const probeIn = (db: Pick<Db, 'execute'>, seconds: number) => addJob(db, 'whatsapp-probe', {}, { inSeconds: seconds, key: 'whatsapp-probe' })

/** What a hold says to everybody who may look: since when and Meta's code, but none of Meta's words. */
export function describeHold (hold: { since: Date, errorCode: number | null } | undefined): { whatsapp?: string } {
  if (hold === undefined) return {}
  const reason = hold.errorCode === null ? '' : ` (error ${hold.errorCode})`
  return { whatsapp: `Messages are held since ${hold.since.toISOString()}, because Meta takes none from our account${reason}` }
}

/** The trouble of our account, while there is one: all that is queued is held until one message goes through. */
export function createHoldStore (db: Db) {
  const { state, contact, queuedAt, tryAt } = whatsappDeliveries

  return {
    /** What holds everything; undefined when nothing does. `isAccepted` when the message that was tried last is on its way. */
    async current () {
      const [hold] = await db.select({
        since: whatsappHolds.since,
        errorCode: whatsappHolds.errorCode,
        error: whatsappHolds.error,
        isByStatus: whatsappHolds.isByStatus,
        isAccepted: sql<boolean>`coalesce(${state} IN ('sent', 'delivered', 'read'), false)`
      }).from(whatsappHolds).leftJoin(whatsappDeliveries, eq(whatsappDeliveries.id, whatsappHolds.probeId))
      return hold
    },

    /** Fails what was held for 24 hours, with the reason of the hold. What may be on its way at this moment is left out. */
    async giveUpOld (): Promise<void> {
      await db.update(whatsappDeliveries).set({
        state: 'failed',
        errorCode: sql`coalesce(${whatsappDeliveries.errorCode}, ${whatsappHolds.errorCode})`,
        error: sql`coalesce(${whatsappDeliveries.error}, ${whatsappHolds.error})`,
        updatedAt: sql`now()`
      }).from(whatsappHolds).where(and(eq(state, 'queued'), isNull(whatsappDeliveries.attemptedAt), sql`${queuedAt} < now() - interval '24 hours'`))
    },

    /**
     * The contact whose message is to be tried next, the one that waits longest. Whose message was tried last comes last,
     * so that a message which Meta refuses with such an error for a reason of its own holds up nobody for long.
     */
    async nextContact (except: string[]): Promise<string | undefined> {
      const { rows: [next] } = await db.execute<{ contact: string }>(sql`
        SELECT first.contact FROM (
          SELECT DISTINCT ON (${contact}) ${contact} AS contact, ${whatsappDeliveries.id} AS id, ${tryAt} AS try_at
          FROM ${whatsappDeliveries} WHERE ${state} = 'queued' ORDER BY ${contact}, ${whatsappDeliveries.id}
        ) first, ${whatsappHolds} h
        WHERE first.try_at <= now() AND first.contact <> ALL (${sql.param(except)}::text[])
        ORDER BY first.contact IS NOT DISTINCT FROM h.tried_contact, first.id LIMIT 1`)
      return next?.contact
    },

    async isAnythingQueued (): Promise<boolean> {
      const [one] = await db.select({ id: whatsappDeliveries.id }).from(whatsappDeliveries).where(eq(state, 'queued')).limit(1)
      return one !== undefined
    },

    /** Another message is tried in a minute; by then the one of `probe` shows whether it is on its way. */
    async tryAgain (triedContact: string | undefined, probe: number | undefined): Promise<void> {
      await db.transaction(async tx => {
        await tx.update(whatsappHolds).set({
          tryAt: inSeconds(PROBE_INTERVAL_SECONDS),
          ...triedContact !== undefined && { triedContact },
          ...probe !== undefined && { probeId: probe }
        })
        await probeIn(tx, PROBE_INTERVAL_SECONDS)
      })
    },

    /** Ends the hold. The next probe finds none, and starts what is queued. */
    async release (): Promise<void> {
      await db.transaction(async tx => {
        await tx.delete(whatsappHolds)
        await probeIn(tx, 0)
      })
    },

    /**
     * Has everything sent that is queued. It needs a transaction after the one that ends the hold: what is queued by
     * somebody who still saw the hold is in this one's snapshot, and who queues later sees none.
     */
    async resume (): Promise<void> {
      await db.execute(sql`
        SELECT count(*) FROM (SELECT DISTINCT ${contact} AS contact FROM ${whatsappDeliveries} WHERE ${state} = 'queued') waiting,
          graphile_worker.add_job('whatsapp-send', json_build_object('contact', waiting.contact))`)
    }
  }
}
