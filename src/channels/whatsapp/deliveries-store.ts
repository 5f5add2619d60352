import { and, eq, inArray, sql } from 'drizzle-orm'
import type { Db, Transaction } from '../../db/client.js'
import { addJob } from '../../db/jobs.js'
import { messages, whatsappContacts, whatsappDeliveries, whatsappInbox } from '../../db/tables.js'
import { readStatus, type Fate } from './reading.js'

export type DeliveryStore = ReturnType<typeof createDeliveryStore>
export type NextDelivery = NonNullable<Awaited<ReturnType<DeliveryStore['next']>>>

interface Problem { errorCode: number | null, error: string | null }

const STATUSES = ['sent', 'delivered', 'read', 'played', 'failed']

/** How far a state is: what was refused may still turn out to have arrived, and nothing goes back. */
const rankOf = (state: unknown) => sql`array_position(ARRAY['queued', 'sent', 'failed', 'window_closed', 'delivered', 'read'], ${state}::text)`

/** The ledger of all that goes out. */
export function createDeliveryStore (db: Db) {
  const { attemptedAt, doubtedAt, tryAt, queuedAt, contact, state } = whatsappDeliveries
  const isOne = (id: number) => eq(whatsappDeliveries.id, id)
  const since = (seconds: number) => sql`now() - make_interval(secs => ${seconds})`
  const settled = { attemptedAt: null, doubtedAt: null, updatedAt: sql`now()` }

  /**
   * What a status and the note of what was sent have in common: both name the message as WhatsApp does. Whichever comes
   * second waits for the first, and sees it, so that a status may come before the answer that it is about.
   */
  const lock = (tx: Transaction, whatsappId: string) => tx.execute(sql`SELECT pg_advisory_xact_lock(hashtextextended(${whatsappId}, 0))`)

  async function apply (tx: Transaction, { whatsappId, state: next, ...problem }: Fate) {
    if (next === undefined) return
    await tx.update(whatsappDeliveries).set({ ...problem, state: next, updatedAt: sql`now()` })
      .where(and(eq(whatsappDeliveries.whatsappId, whatsappId), sql`${rankOf(state)} < ${rankOf(next)}`))
  }

  return {
    /** What is the next to send to a contact, with all that has to be known for it. */
    async next (to: string) {
      const [row] = await db.select({
        id: whatsappDeliveries.id,
        part: whatsappDeliveries.part,
        attempts: whatsappDeliveries.attempts,
        text: messages.text,
        status: messages.status,
        phone: whatsappContacts.phone,
        error: whatsappDeliveries.error,
        errorCode: whatsappDeliveries.errorCode,
        waitSeconds: sql<number>`greatest(0, extract(epoch FROM ${tryAt} - now()))::float`,
        isUnanswered: sql<boolean>`${attemptedAt} IS NOT NULL`,
        isInDoubt: sql<boolean>`${doubtedAt} IS NOT NULL`,
        isTooOld: sql<boolean>`${queuedAt} < now() - interval '24 hours'`,
        isWindowOpen: sql<boolean>`coalesce(${whatsappContacts.lastMessageAt} > now() - interval '24 hours', false)`
      }).from(whatsappDeliveries)
        .innerJoin(messages, and(eq(messages.conversationId, whatsappDeliveries.conversationId), eq(messages.id, whatsappDeliveries.messageId)))
        .leftJoin(whatsappContacts, eq(whatsappContacts.contact, contact))
        .where(and(eq(contact, to), eq(state, 'queued')))
        .orderBy(whatsappDeliveries.id).limit(1)
      return row
    },

    /** A request goes out: until an answer is noted, nobody knows whether it arrived, nor whether one before it did. */
    async begin (id: number) {
      await db.update(whatsappDeliveries)
        .set({ attempts: sql`${whatsappDeliveries.attempts} + 1`, attemptedAt: sql`coalesce(${attemptedAt}, now())`, doubtedAt: null, updatedAt: sql`now()` }).where(isOne(id))
    },

    /** Nobody waits for the answer any more: only a status can tell now, for so many seconds. */
    async doubt (id: number, seconds: number, problem: Partial<Problem> = {}) {
      await db.update(whatsappDeliveries)
        .set({ ...problem, doubtedAt: sql`now()`, tryAt: since(-seconds), updatedAt: sql`now()` }).where(isOne(id))
    },

    /**
     * The message, as WhatsApp names it, that an attempt in doubt must have been: one to this contact that statuses
     * tell of and the ledger does not, since one at a time is under way. Clocks may differ by some seconds.
     */
    async witness (id: number): Promise<string | undefined> {
      const { rows: [found] } = await db.execute<{ whatsapp_id: string }>(sql`
        SELECT split_part(i.whatsapp_id, ' ', 1) AS whatsapp_id
        FROM whatsapp_deliveries d
        LEFT JOIN whatsapp_contacts c ON c.contact = d.contact
        JOIN whatsapp_inbox i ON i.kind = 'status' AND i.contact IN (d.contact, c.phone)
          AND i.sent_at >= d.attempted_at - interval '5 seconds'
        WHERE d.id = ${id} AND NOT EXISTS
          (SELECT FROM whatsapp_deliveries known WHERE known.whatsapp_id = split_part(i.whatsapp_id, ' ', 1))
        ORDER BY i.sent_at, i.id LIMIT 1`)
      return found?.whatsapp_id
    },

    /** It was sent, and is as far as its statuses tell that came before this note. */
    async sent (id: number, whatsappId: string) {
      await db.transaction(async tx => {
        await lock(tx, whatsappId)
        await tx.update(whatsappDeliveries).set({ ...settled, whatsappId, state: 'sent', error: null, errorCode: null }).where(isOne(id))
        const early = await tx.select({ body: whatsappInbox.body }).from(whatsappInbox)
          .where(inArray(whatsappInbox.whatsappId, STATUSES.map(status => `${whatsappId} ${status}`)))
        for (const { body } of early) await apply(tx, readStatus(body))
      })
    },

    /** A status came; one that is about nothing of ours, or not yet, stays in the inbox. */
    async hear (inboxId: number, fate: Fate) {
      await db.transaction(async tx => {
        await lock(tx, fate.whatsappId)
        await apply(tx, fate)
        await tx.update(whatsappInbox).set({ handledAt: sql`now()` }).where(eq(whatsappInbox.id, inboxId))
      })
    },

    /** It is not sent, and not tried again. */
    async refused (id: number, state: 'failed' | 'window_closed', problem: Problem) {
      await db.update(whatsappDeliveries).set({ ...settled, ...problem, state }).where(isOne(id))
    },

    /** It was not sent, and is tried again. */
    async later (id: number, seconds: number, problem: Problem) {
      await db.update(whatsappDeliveries).set({ ...settled, ...problem, tryAt: since(-seconds) }).where(isOne(id))
    },

    /**
     * Has a contact's queue worked off in so many seconds. One job at the most waits for that: it may take the place of
     * one that is under way, even of the one that asks for it, since it will see to all that is queued then.
     */
    workOffIn: (to: string, seconds: number) =>
      addJob(db, 'whatsapp-send', { contact: to }, { inSeconds: seconds, key: `whatsapp-send ${to}` })
  }
}
