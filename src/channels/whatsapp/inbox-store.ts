import { and, eq, inArray, isNotNull, isNull, sql } from 'drizzle-orm'
import type { Db } from '../../db/client.ts'
import { addJob } from '../../db/jobs.ts'
import { prepareQuery, rowsFrom, value } from '../../db/prepared.ts'
import { whatsappContacts, whatsappHolds, whatsappInbox } from '../../db/tables.ts'
import type { WebhookItem } from './payload.ts'

export type InboxStore = ReturnType<typeof createInboxStore>

/** A message or status that waits in a contact's inbox. */
export interface WaitingMessage {
  id: number
  whatsappId: string
  kind: WebhookItem['kind']
  body: Buffer
  sentAt: Date
  /** The id of the first of several messages that are answered as one; null before that is decided. */
  togetherWith: number | null
  /** For a deletion or an edit: WhatsApp's id of the message that it changes. */
  about: string | null
  /** Whether it is done: its reply is in the ledger, or it needs none. */
  isHandled: boolean
  /** The seconds since we received it. */
  secondsHere: number
}

/** One part of a reply, to be sent on its own: the message in the log, and the number of the part. */
export interface ReplyPart { conversation: number, message: number, part: number }

/** Stores what WhatsApp delivers before anything is processed. A job for each contact then processes it in order. */
export function createInboxStore (db: Db) {
  const isOf = (contact: string) => and(eq(whatsappInbox.contact, contact), isNull(whatsappInbox.handledAt))
  const isMessage = and(eq(whatsappInbox.kind, 'message'), isNull(whatsappInbox.about))
  const columns = {
    id: whatsappInbox.id,
    whatsappId: whatsappInbox.whatsappId,
    kind: whatsappInbox.kind,
    body: whatsappInbox.body,
    sentAt: whatsappInbox.sentAt,
    togetherWith: whatsappInbox.togetherWith,
    about: whatsappInbox.about,
    isHandled: sql<boolean>`${whatsappInbox.handledAt} IS NOT NULL`,
    secondsHere: sql<number>`extract(epoch FROM now() - ${whatsappInbox.receivedAt})::float`
  }

  return {
    /**
     * Stores a webhook's pieces and adds a job for each contact that has a new one. One statement does it, so that either
     * everything is stored or nothing. Rows are inserted in the order of WhatsApp's ids: when two webhooks deliver the same
     * pieces at once, one waits for the other, and the two cannot deadlock. The rows' own ids have the order of the webhook,
     * which decides between messages of the same second.
     */
    async keep (pieces: WebhookItem[]): Promise<void> {
      await db.$client.query(KEEP({
        id: pieces.map(({ id }) => id),
        kind: pieces.map(({ kind }) => kind),
        user_id: pieces.map(({ contact }) => contact?.userId ?? null),
        phone: pieces.map(({ contact }) => contact?.phone ?? null),
        moves: pieces.map(({ successor }) => successor !== null),
        new_user_id: pieces.map(({ successor }) => successor?.userId ?? null),
        new_phone: pieces.map(({ successor }) => successor?.phone ?? null),
        about: pieces.map(({ about }) => about),
        body: pieces.map(({ body }) => body),
        problem: pieces.map(({ problem }) => problem),
        sent_at: pieces.map(({ sentAt }) => sentAt.toISOString())
      }))
    },

    /**
     * Returns what to process next for a contact. Deletions and edits come first, so that no bot is asked about a message
     * that was deleted. Then come messages that an earlier attempt has begun to answer, then the others by WhatsApp's time.
     */
    async next (contact: string): Promise<WaitingMessage | undefined> {
      const [row] = await db.select(columns).from(whatsappInbox).where(isOf(contact))
        .orderBy(isNull(whatsappInbox.about), isNull(whatsappInbox.togetherWith), whatsappInbox.sentAt, whatsappInbox.id).limit(1)
      return row
    },

    /**
     * Finds a contact's message by WhatsApp's id, with all messages that were answered together with it, oldest first. An
     * empty list when the message has not arrived, or is so old that it was removed.
     */
    async messagesWith (contact: string, whatsappId: string): Promise<WaitingMessage[]> {
      const [one] = await db.select(columns).from(whatsappInbox)
        .where(and(eq(whatsappInbox.contact, contact), eq(whatsappInbox.whatsappId, whatsappId), isMessage))
      if (one === undefined || one.togetherWith === null) return one === undefined ? [] : [one]
      return await db.select(columns).from(whatsappInbox).where(and(eq(whatsappInbox.contact, contact), eq(whatsappInbox.togetherWith, one.togetherWith)))
        .orderBy(whatsappInbox.sentAt, whatsappInbox.id)
    },

    /** Returns the deletions and edits of these messages by the contact, oldest first. */
    async changesOf (contact: string, whatsappIds: string[]): Promise<Array<{ about: string | null, body: Buffer }>> {
      return await db.select({ about: whatsappInbox.about, body: whatsappInbox.body }).from(whatsappInbox)
        .where(and(eq(whatsappInbox.contact, contact), isNotNull(whatsappInbox.about), inArray(whatsappInbox.about, whatsappIds)))
        .orderBy(whatsappInbox.sentAt, whatsappInbox.id)
    },

    async handled (id: number): Promise<void> {
      await db.update(whatsappInbox).set({ handledAt: sql`now()` }).where(eq(whatsappInbox.id, id))
    },

    /**
     * Returns all messages to answer together with this one, oldest first. The first attempt takes as many of those that wait, from
     * this one on, as `countOf` says, and remembers them, so that a later attempt answers the same messages, with the same text.
     */
    async gather (contact: string, { id, togetherWith }: WaitingMessage, countOf: (waiting: WaitingMessage[]) => Promise<number>): Promise<WaitingMessage[]> {
      if (togetherWith === null) {
        const waiting = await db.select(columns).from(whatsappInbox).where(and(isOf(contact), isMessage)).orderBy(whatsappInbox.sentAt, whatsappInbox.id)
        // An older message may have arrived since this one was found to be the next. It is answered afterwards.
        const after = waiting.slice(waiting.findIndex(one => one.id === id))
        const ids = after.slice(0, await countOf(after)).map(({ id }) => id)
        await db.update(whatsappInbox).set({ togetherWith: id }).where(and(isOf(contact), sql`${whatsappInbox.id} = ANY(${sql.param(ids)}::bigint[])`))
      }
      return await db.select(columns).from(whatsappInbox).where(and(isOf(contact), eq(whatsappInbox.togetherWith, togetherWith ?? id)))
        .orderBy(whatsappInbox.sentAt, whatsappInbox.id)
    },

    /** Records when a contact last wrote, which opens the 24-hour window. Returns false while all messages are held (see `createHoldStore`). */
    async heardOf (contact: string, at: Date): Promise<boolean> {
      const [row] = await db.insert(whatsappContacts).values({ contact, lastMessageAt: at }).onConflictDoUpdate({
        target: whatsappContacts.contact,
        set: { lastMessageAt: sql`greatest(${whatsappContacts.lastMessageAt}, excluded.last_message_at)` }
      }).returning({ isHeld: sql<boolean>`EXISTS (SELECT FROM ${whatsappHolds})` })
      return !row!.isHeld
    },

    /** Schedules the job that processes a contact's inbox, in `seconds`. At most one such job waits for each contact. */
    workOffIn: (contact: string, seconds: number) =>
      addJob(db, 'whatsapp-inbox', { contact }, { inSeconds: seconds, key: `whatsapp-inbox ${contact}` }),

    /**
     * Puts the replies to a message into the ledger, adds the job that sends them, and marks the message, and those that
     * were answered together with it, as handled. One statement does it, so that a crash neither loses a reply nor sends it
     * twice. A part that is in the ledger already is left as it is.
     */
    async answered (id: number, contact: string, parts: ReplyPart[]): Promise<void> {
      await db.$client.query(ANSWERED({
        id, contact, conversation: parts.map(({ conversation }) => conversation), message: parts.map(({ message }) => message), part: parts.map(({ part }) => part)
      }))
    }
  }
}

const PIECES = rowsFrom('piece', {
  id: 'text',
  kind: 'inbox_kind',
  user_id: 'text',
  phone: 'text',
  moves: 'boolean',
  new_user_id: 'text',
  new_phone: 'text',
  about: 'text',
  body: 'bytea',
  problem: 'text',
  sent_at: 'timestamptz'
})

/**
 * Pieces that are stored already are dropped first. They must not update the contact: its number may have changed since, and
 * a repeated webhook would set the old one again.
 */
const KEEP = prepareQuery('keep_in_inbox', sql`
  WITH piece AS MATERIALIZED (
    SELECT sorted.*, nextval('whatsapp_inbox_id_seq') AS inbox_id, CASE
      WHEN moves THEN move_whatsapp_contact(in_user_id => user_id, in_phone => phone, in_new_user_id => new_user_id, in_new_phone => new_phone)
      WHEN kind = 'message' THEN note_whatsapp_contact(in_user_id => user_id, in_phone => phone)
      WHEN kind = 'status' THEN coalesce((find_whatsapp_contact(in_user_id => user_id, in_phone => phone)).contact, user_id, phone)
    END AS contact
    FROM (
      SELECT * FROM ${PIECES}
      WHERE NOT EXISTS (SELECT FROM whatsapp_inbox known WHERE known.whatsapp_id = piece.id)
      ORDER BY sent_at, place
    ) sorted
  ), kept AS (
    INSERT INTO whatsapp_inbox (id, whatsapp_id, kind, contact, about, body, problem, sent_at, handled_at)
    OVERRIDING SYSTEM VALUE
    SELECT inbox_id, id, kind, contact, about, body, problem, sent_at, CASE WHEN contact IS NULL THEN now() END
    FROM piece
    ORDER BY id, place
    ON CONFLICT DO NOTHING
    RETURNING contact
  ), jobs AS (
    SELECT array_agg(json_populate_record(NULL::graphile_worker.job_spec,
      json_build_object('identifier', 'whatsapp-inbox', 'payload', json_build_object('contact', contact)))) AS specs
    FROM (SELECT DISTINCT contact FROM kept WHERE contact IS NOT NULL) contacts
    HAVING count(*) > 0
  )
  SELECT count(*) FROM jobs, graphile_worker.add_jobs(jobs.specs)`)

const ANSWERED = prepareQuery('answered_in_inbox', sql`
  WITH queued AS (
    INSERT INTO whatsapp_deliveries (conversation_id, message_id, part, contact)
    SELECT reply.conversation, reply.message, reply.part, ${value('contact')}
    FROM ${rowsFrom('reply', { conversation: 'bigint', message: 'bigint', part: 'smallint' })}
    ORDER BY reply.place
    ON CONFLICT DO NOTHING
    RETURNING id
  ), job AS (
    SELECT count(graphile_worker.add_job('whatsapp-send', json_build_object('contact', ${value('contact')}::text))) AS added
    FROM (SELECT FROM queued LIMIT 1) any_queued
  )
  UPDATE whatsapp_inbox SET handled_at = now() WHERE (id = ${value('id')} OR (contact = ${value('contact')} AND together_with = ${value('id')})) AND (SELECT added FROM job) >= 0`)
