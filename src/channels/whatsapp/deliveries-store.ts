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

/** Gives the seconds to wait after an attempt that failed for a temporary reason. `attempts` counts those before it. */
export function pauseAfter (attempts: number): number {
  return Math.min(4 ** attempts, MAX_PAUSE_SECONDS)
}

/**
 * The order of the states. Statuses may arrive in any order, so a delivery's state only moves forward. `failed` comes before
 * `delivered`: Meta may report an error for a message that arrived after all.
 */
const rankOf = (state: unknown) => sql`array_position(ARRAY['queued', 'sent', 'failed', 'window_closed', 'delivered', 'read'], ${state}::text)`

/**
 * The ledger of outgoing messages: what to send, and what has become of it. `onHold` is called, after the commit, when all
 * messages are held from now on because of a problem with our account.
 */
export function createDeliveryStore (db: Db, onHold: (problem: Problem) => void) {
  const { attemptedAt, doubtedAt, tryAt, queuedAt, contact, state } = whatsappDeliveries
  const isOne = (id: number) => eq(whatsappDeliveries.id, id)
  const since = (seconds: number) => sql`now() - make_interval(secs => ${seconds})`
  const settled = { attemptedAt: null, doubtedAt: null, updatedAt: sql`now()` }

  /**
   * Advisory lock on WhatsApp's message id. A status webhook can arrive before the response to our own request. Without the
   * lock, neither transaction might see the other one's row, and the status would be lost.
   */
  const lock = (tx: Transaction, whatsappId: string) => tx.execute(sql`SELECT pg_advisory_xact_lock(hashtextextended(${whatsappId}, 0))`)

  /** Applies a status to its delivery. Returns true when everything is held from now on. */
  async function apply (tx: Transaction, { whatsappId, state: next, problem, report }: Fate): Promise<boolean> {
    if (next === undefined) return false
    const trouble = next === 'failed' ? troubleOf(report) : 'message'
    if (trouble !== 'message') return await sendAgain(tx, whatsappId, problem, trouble === 'account')
    // A delivery that is queued again was refused after it had been sent. A late `sent` is about that earlier attempt.
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
    /** Returns the next delivery to a contact, with everything that is needed to send it. */
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

    /**
     * Call it before a request goes out. If the process dies before the response is recorded, `attemptedAt` shows that the
     * message may have arrived. Returns false when this attempt is not ours: this process was paused after `next`, and another
     * one has taken over its job and begun an attempt since. Then nothing may be sent.
     */
    async begin ({ id, attempts }: { id: number, attempts: number }): Promise<boolean> {
      const { rowCount } = await db.update(whatsappDeliveries)
        .set({ attempts: attempts + 1, attemptedAt: sql`coalesce(${attemptedAt}, now())`, doubtedAt: null, updatedAt: sql`now()` })
        .where(and(isOne(id), eq(state, 'queued'), eq(whatsappDeliveries.attempts, attempts)))
      return rowCount === 1
    },

    /** Call it when a request got no response. For `seconds`, a status webhook may still show that the message arrived. */
    async doubt (id: number, seconds: number, problem: Partial<Problem> = {}) {
      await db.update(whatsappDeliveries)
        .set({ ...problem, doubtedAt: sql`now()`, tryAt: since(-seconds), updatedAt: sql`now()` }).where(isOne(id))
    },

    /**
     * Finds out whether an attempt without a response has arrived, and gives WhatsApp's id of the message. It is a message to
     * this contact that has statuses in the inbox, none of them older than the attempt, but is not in the ledger: only one
     * message to a contact is sent at a time, so it must be this one. An older message that another program sent, or that we
     * sent twice, may be read at this moment. Allows for clocks that differ by some seconds.
     */
    async witness (id: number): Promise<string | undefined> {
      const known = alias(whatsappDeliveries, 'known')
      const older = alias(whatsappInbox, 'older')
      const named = sql`split_part(${whatsappInbox.whatsappId}, ' ', 1)`
      const attempt = sql`${whatsappDeliveries.attemptedAt} - interval '5 seconds'`
      const { rows: [found] } = await db.execute<{ whatsapp_id: string }>(sql`
        SELECT ${named} AS whatsapp_id
        FROM ${whatsappDeliveries}
        LEFT JOIN ${whatsappContacts} ON ${whatsappContacts.contact} = ${whatsappDeliveries.contact}
        JOIN ${whatsappInbox} ON ${whatsappInbox.kind} = 'status'
          AND ${whatsappInbox.contact} IN (${whatsappDeliveries.contact}, ${whatsappContacts.phone}, ${whatsappContacts.userId})
          AND ${whatsappInbox.sentAt} >= ${attempt}
        WHERE ${whatsappDeliveries.id} = ${id} AND NOT EXISTS (SELECT FROM ${whatsappDeliveries} ${known} WHERE ${known.whatsappId} = ${named})
          AND NOT EXISTS (SELECT FROM ${whatsappInbox} ${older}
            WHERE ${older.whatsappId} = ANY(SELECT ${named} || ' ' || status FROM unnest(${sql.param(STATUSES)}::text[]) status) AND ${older.sentAt} < ${attempt})
        ORDER BY ${whatsappInbox.sentAt}, ${whatsappInbox.id} LIMIT 1`)
      return found?.whatsapp_id
    },

    /**
     * Records that a message was sent, and applies the statuses that arrived before the response to our request. An id that another
     * delivery has already is not stored again: the error would leave this one unanswered, so that it would be sent again and again.
     */
    async sent (id: number, whatsappId: string) {
      const other = alias(whatsappDeliveries, 'other')
      const ownId = sql`CASE WHEN NOT EXISTS (SELECT FROM ${whatsappDeliveries} ${other} WHERE ${other.whatsappId} = ${whatsappId} AND ${other.id} <> ${id}) THEN ${whatsappId} END`
      const held = await db.transaction(async tx => {
        await lock(tx, whatsappId)
        await tx.update(whatsappDeliveries).set({ ...settled, whatsappId: ownId, state: 'sent', error: null, errorCode: null }).where(isOne(id))
        const early = await tx.select({ body: whatsappInbox.body }).from(whatsappInbox)
          .where(inArray(whatsappInbox.whatsappId, STATUSES.map(status => `${whatsappId} ${status}`)))
        let held: Problem | undefined
        for (const fate of early.map(({ body }) => readStatus(body))) if (await apply(tx, fate)) held = fate.problem
        return held
      })
      if (held !== undefined) onHold(held)
    },

    /** Applies a status from the inbox. Its row stays there: `sent` reads it if the delivery does not have its id yet. */
    async hear (inboxId: number, fate: Fate) {
      const isHeld = await db.transaction(async tx => {
        await lock(tx, fate.whatsappId)
        const isHeld = await apply(tx, fate)
        await tx.update(whatsappInbox).set({ handledAt: sql`now()` }).where(eq(whatsappInbox.id, inboxId))
        return isHeld
      })
      if (isHeld) onHold(fate.problem)
    },

    /** Records that our account can send nothing at the moment. This delivery and all others wait until it can. */
    async held (id: number, problem: Problem) {
      const isNew = await db.transaction(async tx => {
        await tx.update(whatsappDeliveries).set({ ...settled, ...problem }).where(isOne(id))
        return await holdAll(tx, problem, false)
      })
      if (isNew) onHold(problem)
    },

    /** Schedules the next probe now, for a hold whose probe job was lost. */
    probeNow: () => probeIn(db, 0),

    /** Records that a message was refused. It is not tried again. */
    async refused (id: number, state: 'failed' | 'window_closed', problem: Problem) {
      await db.update(whatsappDeliveries).set({ ...settled, ...problem, state }).where(isOne(id))
    },

    /** Records that a message was not sent for a temporary reason. It is tried again in `seconds`. */
    async later (id: number, seconds: number, problem: Problem) {
      await db.update(whatsappDeliveries).set({ ...settled, ...problem, tryAt: since(-seconds) }).where(isOne(id))
    },

    /**
     * Schedules the job that sends what is queued for a contact, in `seconds`. At most one such job waits. It may take the
     * place of one that is running, even the one that schedules it, because it will send everything that is queued then.
     */
    workOffIn: (to: string, seconds: number) =>
      addJob(db, 'whatsapp-send', { contact: to }, { inSeconds: seconds, key: `whatsapp-send ${to}` })
  }
}
