import { and, eq, inArray, isNotNull, isNull, sql } from 'drizzle-orm'
import type { Db } from '../../db/client.ts'
import { addJob } from '../../db/jobs.ts'
import { prepareQuery, rowsFrom, value } from '../../db/prepared.ts'
import { whatsappContacts, whatsappHolds, whatsappInbox } from '../../db/tables.ts'
import type { WebhookItem } from './payload.ts'

export type InboxStore = ReturnType<typeof createInboxStore>

/** A piece that waits in a contact's inbox. */
export interface WaitingMessage {
  id: number
  whatsappId: string
  kind: WebhookItem['kind']
  body: Buffer
  sentAt: Date
  /** The message together with which it is answered. */
  togetherWith: number | null
  /** For a deletion or an edit: WhatsApp's id of the message that it changes. */
  about: string | null
  /** Whether its answer is in the ledger, or it gets none. */
  isHandled: boolean
  /** How long ago it came. */
  secondsHere: number
}

/** The parts of a reply that go out: of which message of the log, and which of its parts. */
export interface ReplyPart { conversation: number, message: number, part: number }

/** What came in: kept before anybody thinks about it, and worked off by a job for each contact. */
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
     * Keeps a webhook's pieces and adds a job for each contact of whom something is new, in one statement: all of it is
     * there, or none. In one order, so that two that bring the same wait for each other, and never in a circle.
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
     * What is the next to handle of a contact: what deletes or edits a message, so that no bot hears what was taken back,
     * then what was begun, then by WhatsApp's time, then as it came.
     */
    async next (contact: string): Promise<WaitingMessage | undefined> {
      const [row] = await db.select(columns).from(whatsappInbox).where(isOf(contact))
        .orderBy(isNull(whatsappInbox.about), isNull(whatsappInbox.togetherWith), whatsappInbox.sentAt, whatsappInbox.id).limit(1)
      return row
    },

    /**
     * A contact's message by WhatsApp's id, with all the messages that were answered together with it, in their order;
     * nothing where it has not come, or was too long ago.
     */
    async messagesWith (contact: string, whatsappId: string): Promise<WaitingMessage[]> {
      const [one] = await db.select(columns).from(whatsappInbox)
        .where(and(eq(whatsappInbox.contact, contact), eq(whatsappInbox.whatsappId, whatsappId), isMessage))
      if (one === undefined || one.togetherWith === null) return one === undefined ? [] : [one]
      return await db.select(columns).from(whatsappInbox).where(and(eq(whatsappInbox.contact, contact), eq(whatsappInbox.togetherWith, one.togetherWith)))
        .orderBy(whatsappInbox.sentAt, whatsappInbox.id)
    },

    /** The deletions and edits of these messages by their contact, oldest first. */
    async changesOf (contact: string, whatsappIds: string[]): Promise<Array<{ about: string | null, body: Buffer }>> {
      return await db.select({ about: whatsappInbox.about, body: whatsappInbox.body }).from(whatsappInbox)
        .where(and(eq(whatsappInbox.contact, contact), isNotNull(whatsappInbox.about), inArray(whatsappInbox.about, whatsappIds)))
        .orderBy(whatsappInbox.sentAt, whatsappInbox.id)
    },

    async handled (id: number): Promise<void> {
      await db.update(whatsappInbox).set({ handledAt: sql`now()` }).where(eq(whatsappInbox.id, id))
    },

    /**
     * All the messages that are answered together with this one, in their order: those that were once, so that it is
     * the same text when it is tried again, or else all that wait now.
     */
    async gather (contact: string, { id, togetherWith }: WaitingMessage): Promise<WaitingMessage[]> {
      if (togetherWith === null) {
        await db.update(whatsappInbox).set({ togetherWith: id }).where(and(isOf(contact), isMessage))
      }
      return await db.select(columns).from(whatsappInbox).where(and(isOf(contact), eq(whatsappInbox.togetherWith, togetherWith ?? id)))
        .orderBy(whatsappInbox.sentAt, whatsappInbox.id)
    },

    /** Notes when a contact last said something. Gives whether an answer can be sent at the moment, or would be held. */
    async heardOf (contact: string, at: Date): Promise<boolean> {
      const [row] = await db.insert(whatsappContacts).values({ contact, lastMessageAt: at }).onConflictDoUpdate({
        target: whatsappContacts.contact,
        set: { lastMessageAt: sql`greatest(${whatsappContacts.lastMessageAt}, excluded.last_message_at)` }
      }).returning({ isHeld: sql<boolean>`EXISTS (SELECT FROM ${whatsappHolds})` })
      return !row!.isHeld
    },

    /** Schedules the job that works off a contact's inbox, in `seconds`. At most one such job waits for each contact. */
    workOffIn: (contact: string, seconds: number) =>
      addJob(db, 'whatsapp-inbox', { contact }, { inSeconds: seconds, key: `whatsapp-inbox ${contact}` }),

    /**
     * Puts the replies to a message into the ledger, adds the job that sends them, and notes that the message, and what
     * is answered with it, is handled, in one statement. A part that is in the ledger already stays as it is.
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

/** A piece that is here already tells nothing new of its contact, whose number may be another one since. */
const KEEP = prepareQuery('keep_in_inbox', sql`
  WITH piece AS MATERIALIZED (
    SELECT sorted.*, CASE
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
    INSERT INTO whatsapp_inbox (whatsapp_id, kind, contact, about, body, problem, sent_at, handled_at)
    SELECT id, kind, contact, about, body, problem, sent_at, CASE WHEN contact IS NULL THEN now() END
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
