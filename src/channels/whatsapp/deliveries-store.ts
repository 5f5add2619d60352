import { and, eq, inArray, ne, sql } from 'drizzle-orm'
import { alias } from 'drizzle-orm/pg-core'
import type { Db, Transaction } from '../../db/client.ts'
import { addJob } from '../../db/jobs.ts'
import { messages, whatsappContacts, whatsappDeliveries, whatsappHolds, whatsappInbox } from '../../db/tables.ts'
import { troubleOf } from './error-codes.ts'
import { holdAll, probeIn, releaseFor } from './holds-store.ts'
import { readStatus, type Fate, type Problem } from './reading.ts'

export type DeliveryStore = ReturnType<typeof createDeliveryStore>
export type NextDelivery = NonNullable<Awaited<ReturnType<DeliveryStore['next']>>>

const STATUSES = ['sent', 'delivered', 'read', 'played', 'failed']

/** In seconds: the longest pause between two attempts. */
const MAX_PAUSE_SECONDS = 15 * 60

/** In seconds: how long to wait after an attempt for which now was not the moment, by how many there were before it. */
export function pauseAfter (attempts: number): number {
  return Math.min(4 ** attempts, MAX_PAUSE_SECONDS)
}

/** How far a state is: what was refused may still turn out to have arrived, and nothing goes back. */
const rankOf = (state: unknown) => sql`array_position(ARRAY['queued', 'sent', 'failed', 'window_closed', 'delivered', 'read'], ${state}::text)`

/** The ledger of all that goes out. `onHold` is told, after the commit, of trouble with our account that begins. */
export function createDeliveryStore (db: Db, onHold: (problem: Problem) => void) {
  const { attemptedAt, doubtedAt, tryAt, queuedAt, contact, state } = whatsappDeliveries
  const isOne = (id: number) => eq(whatsappDeliveries.id, id)
  const since = (seconds: number) => sql`now() - make_interval(secs => ${seconds})`
  const settled = { attemptedAt: null, doubtedAt: null, updatedAt: sql`now()` }

  /**
   * Advisory lock on WhatsApp's message id. A status webhook can arrive before the response to our own request. Whichever comes
   * second waits for the first, and sees it, so that a status may come before the answer that it is about.
   */
  const lock = (tx: Transaction, whatsappId: string) => tx.execute(sql`SELECT pg_advisory_xact_lock(hashtextextended(${whatsappId}, 0))`)

  /** Gives whether everything is held from now on. */
  async function apply (tx: Transaction, { whatsappId, state: next, problem, report }: Fate): Promise<boolean> {
    if (next === undefined) return false
    const trouble = next === 'failed' ? troubleOf(report) : 'message'
    if (trouble !== 'message') return await sendAgain(tx, whatsappId, problem, trouble === 'account')
    // A message that is to be sent again was refused: that it had been on its way before comes late, and tells nothing.
    const isNews = next === 'sent' ? ne(state, 'queued') : undefined
    await tx.update(whatsappDeliveries).set({ ...problem, state: next, updatedAt: sql`now()` })
      .where(and(eq(whatsappDeliveries.whatsappId, whatsappId), isNews, sql`${rankOf(state)} < ${rankOf(next)}`))
    if (next === 'sent' || next === 'delivered' || next === 'read') await releaseFor(tx, whatsappId)
    return false
  }

  /** Meta accepted it but failed to deliver it for a temporary reason: queue it again, before later messages. */
  async function sendAgain (tx: Transaction, whatsappId: string, problem: Problem, isOurs: boolean) {
    const [refused] = await tx.select({ id: whatsappDeliveries.id, contact, attempts: whatsappDeliveries.attempts }).from(whatsappDeliveries)
      .where(and(eq(whatsappDeliveries.whatsappId, whatsappId), eq(state, 'sent'))).for('update')
    if (refused === undefined) return false
    const pause = isOurs ? 0 : pauseAfter(refused.attempts - 1)
    await tx.update(whatsappDeliveries).set({ ...settled, ...problem, state: 'queued', tryAt: since(-pause) }).where(isOne(refused.id))
    if (isOurs) return await holdAll(tx, problem, true)
    await addJob(tx, 'whatsapp-send', { contact: refused.contact }, { inSeconds: pause, key: `whatsapp-send ${refused.contact}` })
    return false
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
        userId: whatsappContacts.userId,
        template: whatsappDeliveries.template,
        hold: {
          id: whatsappHolds.id, errorCode: whatsappHolds.errorCode, error: whatsappHolds.error, isOverdue: sql<boolean>`${whatsappHolds.tryAt} < now() - interval '1 minute'`
        },
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
        .leftJoin(whatsappHolds, sql`true`)
        .where(and(eq(contact, to), eq(state, 'queued')))
        .orderBy(whatsappDeliveries.id).limit(1)
      return row
    },

    /** A request goes out: until an answer is noted, nobody knows whether it arrived, nor whether one before it did. */
    async begin (id: number) {
      await db.update(whatsappDeliveries)
        .set({ attempts: sql`${whatsappDeliveries.attempts} + 1`, attemptedAt: sql`coalesce(${attemptedAt}, now())`, doubtedAt: null, updatedAt: sql`now()` }).where(isOne(id))
    },

    /** The request got no answer. For `seconds`, a status webhook may still tell that it arrived. */
    async doubt (id: number, seconds: number, problem: Partial<Problem> = {}) {
      await db.update(whatsappDeliveries)
        .set({ ...problem, doubtedAt: sql`now()`, tryAt: since(-seconds), updatedAt: sql`now()` }).where(isOne(id))
    },

    /**
     * The message, as WhatsApp names it, that an attempt in doubt must have been: one to this contact that statuses
     * tell of and the ledger does not, since one at a time is under way. Clocks may differ by some seconds.
     */
    async witness (id: number): Promise<string | undefined> {
      const known = alias(whatsappDeliveries, 'known')
      const named = sql`split_part(${whatsappInbox.whatsappId}, ' ', 1)`
      const { rows: [found] } = await db.execute<{ whatsapp_id: string }>(sql`
        SELECT ${named} AS whatsapp_id
        FROM ${whatsappDeliveries}
        LEFT JOIN ${whatsappContacts} ON ${whatsappContacts.contact} = ${whatsappDeliveries.contact}
        JOIN ${whatsappInbox} ON ${whatsappInbox.kind} = 'status'
          AND ${whatsappInbox.contact} IN (${whatsappDeliveries.contact}, ${whatsappContacts.phone}, ${whatsappContacts.userId})
          AND ${whatsappInbox.sentAt} >= ${whatsappDeliveries.attemptedAt} - interval '5 seconds'
        WHERE ${whatsappDeliveries.id} = ${id} AND NOT EXISTS (SELECT FROM ${whatsappDeliveries} ${known} WHERE ${known.whatsappId} = ${named})
        ORDER BY ${whatsappInbox.sentAt}, ${whatsappInbox.id} LIMIT 1`)
      return found?.whatsapp_id
    },

    /** It was sent, and is as far as its statuses tell that came before this note. */
    async sent (id: number, whatsappId: string) {
      const held = await db.transaction(async tx => {
        await lock(tx, whatsappId)
        await tx.update(whatsappDeliveries).set({ ...settled, whatsappId, state: 'sent', error: null, errorCode: null }).where(isOne(id))
        const early = await tx.select({ body: whatsappInbox.body }).from(whatsappInbox)
          .where(inArray(whatsappInbox.whatsappId, STATUSES.map(status => `${whatsappId} ${status}`)))
        let held: Problem | undefined
        for (const fate of early.map(({ body }) => readStatus(body))) if (await apply(tx, fate)) held = fate.problem
        return held
      })
      if (held !== undefined) onHold(held)
    },

    /** A status came; one that is about nothing of ours, or not yet, stays in the inbox. */
    async hear (inboxId: number, fate: Fate) {
      const isHeld = await db.transaction(async tx => {
        await lock(tx, fate.whatsappId)
        const isHeld = await apply(tx, fate)
        await tx.update(whatsappInbox).set({ handledAt: sql`now()` }).where(eq(whatsappInbox.id, inboxId))
        return isHeld
      })
      if (isHeld) onHold(fate.problem)
    },

    /** Nothing can be sent at the moment, and this least of all: it waits until the trouble of our account is over. */
    async held (id: number, problem: Problem) {
      const isNew = await db.transaction(async tx => {
        await tx.update(whatsappDeliveries).set({ ...settled, ...problem }).where(isOne(id))
        return await holdAll(tx, problem, false)
      })
      if (isNew) onHold(problem)
    },

    /** Tries at once, while all is held: for a hold whose next attempt was lost. */
    probeNow: () => probeIn(db, 0),

    /** It is not sent, and not tried again. */
    async refused (id: number, state: 'failed' | 'window_closed', problem: Problem) {
      await db.update(whatsappDeliveries).set({ ...settled, ...problem, state }).where(isOne(id))
    },

    /** It was not sent, and is tried again. */
    async later (id: number, seconds: number, problem: Problem) {
      await db.update(whatsappDeliveries).set({ ...settled, ...problem, tryAt: since(-seconds) }).where(isOne(id))
    },

    /**
     * Schedules the job that works off a contact's queue, in `seconds`. At most one such job waits: it may replace
     * one that is under way, even of the one that asks for it, since it will see to all that is queued then.
     */
    workOffIn: (to: string, seconds: number) =>
      addJob(db, 'whatsapp-send', { contact: to }, { inSeconds: seconds, key: `whatsapp-send ${to}` })
  }
}
