import { and, desc, eq, gte, inArray, lt, sql } from 'drizzle-orm'
import { logAction, type Admin } from '../../accounts/admin-log-store.ts'
import type { Db, Transaction } from '../../db/client.ts'
import { addJob } from '../../db/jobs.ts'
import { whatsappDeliveries, whatsappHolds } from '../../db/tables.ts'
import { DELIVERY_NOT_FOUND, NOT_TO_RETRY } from '../../errors.ts'
import { cutPage } from '../../http/paging.ts'

export type LedgerStore = ReturnType<typeof createLedgerStore>

type State = typeof whatsappDeliveries.$inferSelect.state

/** The ledger of outgoing messages, as admins see it. */
export function createLedgerStore (db: Db) {
  const { id: deliveryId, contact, state, createdAt } = whatsappDeliveries

  return {
    /** A page of the ledger, newest first. */
    async list ({ limit, before = Number.MAX_SAFE_INTEGER, ...filter }: { limit: number, before?: number, contact?: string, state?: State, since?: Date }) {
      const rows = await selectDeliveries(db).where(and(
        lt(deliveryId, before),
        filter.contact === undefined ? undefined : eq(contact, filter.contact),
        filter.state === undefined ? undefined : eq(state, filter.state),
        filter.since === undefined ? undefined : gte(createdAt, filter.since)
      )).orderBy(desc(deliveryId)).limit(limit + 1)
      return cutPage(rows, limit)
    },

    /** Sends a delivery again that was not sent. @throws DELIVERY_NOT_FOUND, NOT_TO_RETRY */
    async retry (admin: Admin, id: number) {
      return await db.transaction(async tx => {
        const [row] = await tx.update(whatsappDeliveries).set({
          state: 'queued', whatsappId: null, attempts: 0, error: null, errorCode: null, updatedAt: sql`now()`, queuedAt: sql`now()`, tryAt: sql`now()`
        }).where(and(eq(deliveryId, id), inArray(state, ['failed', 'window_closed']))).returning({ contact })
        if (row === undefined) {
          const [known] = await tx.select({ id: deliveryId }).from(whatsappDeliveries).where(eq(deliveryId, id))
          throw known === undefined ? new DELIVERY_NOT_FOUND() : new NOT_TO_RETRY()
        }
        await logAction(tx, admin, 'delivery.retry', { details: { delivery: id } })
        await addJob(tx, 'whatsapp-send', { contact: row.contact })
        const [delivery] = await selectDeliveries(tx).where(eq(deliveryId, id))
        return delivery!
      })
    }
  }
}

/** Deliveries as admins see them. One that waits because of a problem with our account shows that problem. */
export function selectDeliveries (db: Pick<Db | Transaction, 'select'>) {
  return db.select({
    id: whatsappDeliveries.id,
    conversation_id: whatsappDeliveries.conversationId,
    message_id: whatsappDeliveries.messageId,
    part: whatsappDeliveries.part,
    contact: whatsappDeliveries.contact,
    whatsapp_id: whatsappDeliveries.whatsappId,
    state: whatsappDeliveries.state,
    error_code: sql<number | null>`coalesce(${whatsappDeliveries.errorCode}, ${whatsappHolds.errorCode})`,
    error: sql<string | null>`coalesce(${whatsappDeliveries.error}, ${whatsappHolds.error})`,
    attempts: whatsappDeliveries.attempts,
    created_at: whatsappDeliveries.createdAt,
    updated_at: whatsappDeliveries.updatedAt,
    held_since: whatsappHolds.since
  }).from(whatsappDeliveries).leftJoin(whatsappHolds, eq(whatsappDeliveries.state, 'queued'))
}
