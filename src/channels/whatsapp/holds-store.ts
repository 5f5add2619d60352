import { and, eq, inArray, isNull, sql } from 'drizzle-orm'
import type { Db, Transaction } from '../../db/client.ts'
import { addJob } from '../../db/jobs.ts'
import { whatsappDeliveries, whatsappHolds } from '../../db/tables.ts'
import type { Problem } from './reading.ts'

export type HoldStore = ReturnType<typeof createHoldStore>

/** In seconds: how often we try one message while all are held. */
const PROBE_INTERVAL_SECONDS = 60

const inSeconds = (seconds: number) => sql`now() + make_interval(secs => ${seconds})`

/**
 * Holds all queued messages, because our account can send nothing. The same transaction adds the job that tries again.
 * Returns true when nothing was held before.
 * @param isByStatus whether Meta had accepted the message and reported the problem by a status later
 */
export async function holdAll (tx: Transaction, problem: Problem, isByStatus: boolean): Promise<boolean> {
  const [hold] = await tx.insert(whatsappHolds).values({ ...problem, isByStatus, tryAt: inSeconds(PROBE_INTERVAL_SECONDS) }).onConflictDoUpdate({
    target: whatsappHolds.id,
    set: { ...problem, isByStatus: sql`${whatsappHolds.isByStatus} OR excluded.is_by_status`, probeId: null }
  }).returning({ isNew: sql<boolean>`xmax = 0` })
  if (hold!.isNew) await probeIn(tx, PROBE_INTERVAL_SECONDS)
  return hold!.isNew
}

/** Ends the hold if this is the message that was tried: a status has confirmed that it was sent. */
export async function releaseFor (tx: Transaction, whatsappId: string): Promise<void> {
  const probe = tx.select({ id: whatsappDeliveries.id }).from(whatsappDeliveries).where(eq(whatsappDeliveries.whatsappId, whatsappId))
  const { rowCount } = await tx.delete(whatsappHolds).where(inArray(whatsappHolds.probeId, probe))
  if (rowCount !== 0) await probeIn(tx, 0)
}

/** Schedules the job that tries one message. At most one such job waits; it may take the place of one that is running. */
export const probeIn = (db: Pick<Db, 'execute'>, seconds: number) => addJob(db, 'whatsapp-probe', {}, { inSeconds: seconds, key: 'whatsapp-probe' })

/** Describes a hold for the public health check: since when, and Meta's code, but not Meta's text. */
export function describeHold (hold: { since: Date, errorCode: number | null } | undefined): { whatsapp?: string } {
  if (hold === undefined) return {}
  const reason = hold.errorCode === null ? '' : ` (error ${hold.errorCode})`
  return { whatsapp: `Messages have been held since ${hold.since.toISOString()}, because Meta accepts none from our account${reason}` }
}

/** The hold: while our account has a problem at Meta, all queued messages wait until a message that we try is accepted. */
export function createHoldStore (db: Db) {
  const { state, contact, queuedAt, tryAt } = whatsappDeliveries

  return {
    /** Returns the hold; undefined when there is none. `isAccepted`: the message that was tried last has been sent. */
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

    /**
     * Marks messages that have been queued for 24 hours as failed, with the reason of the hold. Leaves out those with an
     * attempt without a response, since they may have arrived.
     */
    async giveUpOld (): Promise<void> {
      await db.update(whatsappDeliveries).set({
        state: 'failed',
        errorCode: sql`coalesce(${whatsappDeliveries.errorCode}, ${whatsappHolds.errorCode})`,
        error: sql`coalesce(${whatsappDeliveries.error}, ${whatsappHolds.error})`,
        updatedAt: sql`now()`
      }).from(whatsappHolds).where(and(eq(state, 'queued'), isNull(whatsappDeliveries.attemptedAt), sql`${queuedAt} < now() - interval '24 hours'`))
    },

    /**
     * Returns the contact whose message to try next: the one that has waited longest. The contact that was tried last comes
     * last. Otherwise a message that Meta refuses with such an error for a reason of its own would keep the hold going.
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

    /** Schedules the next probe in a minute. By then, statuses show whether the delivery `probe` was sent. */
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

    /** Ends the hold, and schedules a probe, which then finds no hold and calls `resume`. */
    async release (): Promise<void> {
      await db.transaction(async tx => {
        await tx.delete(whatsappHolds)
        await probeIn(tx, 0)
      })
    },

    /**
     * Adds jobs that send everything that is queued. It must run in a transaction after the one that ends the hold. Then its
     * snapshot has all messages that were queued by transactions which still saw the hold; later ones see no hold.
     */
    async resume (): Promise<void> {
      await db.execute(sql`
        SELECT count(*) FROM (SELECT DISTINCT ${contact} AS contact FROM ${whatsappDeliveries} WHERE ${state} = 'queued') waiting,
          graphile_worker.add_job('whatsapp-send', json_build_object('contact', waiting.contact))`)
    }
  }
}
