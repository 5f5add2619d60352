import { and, eq, isNull, sql } from 'drizzle-orm'
import type { Db } from '../../db/client.js'
import { addJob } from '../../db/jobs.js'
import { chatbots, whatsappContacts, whatsappInbox } from '../../db/tables.js'
import type { Piece } from './payload.js'

export type InboxStore = ReturnType<typeof createInboxStore>

/** A piece that waits in a contact's inbox. */
export interface Waiting {
  id: number
  whatsappId: string
  kind: Piece['kind']
  body: Buffer
  sentAt: Date
  /** The message together with which it is answered. */
  togetherWith: number | null
  /** How long ago it came. */
  secondsHere: number
}

/** The engines whose bots think. */
const THINKERS = ['openai', 'webhook']

/** The parts of a reply that go out: of which message of the log, and which of its parts. */
export interface Part { conversation: number, message: number, part: number }

/** What came in: kept before anybody thinks about it, and worked off by a job for each contact. */
export function createInboxStore (db: Db) {
  const isOf = (contact: string) => and(eq(whatsappInbox.contact, contact), isNull(whatsappInbox.handledAt))
  const columns = {
    id: whatsappInbox.id,
    whatsappId: whatsappInbox.whatsappId,
    kind: whatsappInbox.kind,
    body: whatsappInbox.body,
    sentAt: whatsappInbox.sentAt,
    togetherWith: whatsappInbox.togetherWith,
    secondsHere: sql<number>`extract(epoch FROM now() - ${whatsappInbox.receivedAt})::float`
  }

  return {
    /**
     * Keeps a webhook's pieces and adds a job for each contact of whom something is new, in one statement: all of it is
     * there, or none. In one order, so that two that bring the same wait for each other, and never in a circle.
     */
    async keep (pieces: Piece[]): Promise<void> {
      await db.$client.query({
        name: 'keep_in_inbox',
        text: KEEP,
        values: [
          pieces.map(({ id }) => id), pieces.map(({ kind }) => kind), pieces.map(({ contact }) => contact),
          pieces.map(({ body }) => body), pieces.map(({ problem }) => problem), pieces.map(({ sentAt }) => sentAt.toISOString())
        ]
      })
    },

    /** What is the next to handle of a contact: what was begun, then by WhatsApp's time, then as it came. */
    async next (contact: string): Promise<Waiting | undefined> {
      const [row] = await db.select(columns).from(whatsappInbox).where(isOf(contact))
        .orderBy(isNull(whatsappInbox.togetherWith), whatsappInbox.sentAt, whatsappInbox.id).limit(1)
      return row
    },

    /**
     * All the messages that are answered together with this one, in their order: those that were once, so that it is
     * the same text when it is tried again, or else all that wait now.
     */
    async gather (contact: string, { id, togetherWith }: Waiting): Promise<Waiting[]> {
      if (togetherWith === null) {
        await db.update(whatsappInbox).set({ togetherWith: id }).where(and(isOf(contact), eq(whatsappInbox.kind, 'message')))
      }
      return await db.select(columns).from(whatsappInbox).where(and(isOf(contact), eq(whatsappInbox.togetherWith, togetherWith ?? id)))
        .orderBy(whatsappInbox.sentAt, whatsappInbox.id)
    },

    /** Whether a bot thinks about what it says, so that it should be asked once and not for each message. */
    async isThinker (bot: string): Promise<boolean> {
      const [row] = await db.select({ engine: chatbots.engine }).from(chatbots).where(eq(chatbots.name, bot))
      return row !== undefined && THINKERS.includes(row.engine)
    },

    /** Notes what a message tells of its contact: the number, and when it last said something. */
    async heardOf (contact: string, phone: string | undefined, at: Date): Promise<void> {
      await db.insert(whatsappContacts).values({ contact, phone, lastMessageAt: at }).onConflictDoUpdate({
        target: whatsappContacts.contact,
        set: {
          phone: sql`coalesce(excluded.phone, ${whatsappContacts.phone})`,
          lastMessageAt: sql`greatest(${whatsappContacts.lastMessageAt}, excluded.last_message_at)`
        }
      })
    },

    /** Has a contact's inbox worked off in so many seconds; one job at the most waits for that, as with what goes out. */
    workOffIn: (contact: string, seconds: number) =>
      addJob(db, 'whatsapp-inbox', { contact }, { inSeconds: seconds, key: `whatsapp-inbox ${contact}` }),

    /**
     * Puts the replies to a message into the ledger, adds the job that sends them, and notes that the message, and what
     * is answered with it, is handled, in one statement. A part that is in the ledger already stays as it is.
     */
    async answered (id: number, contact: string, parts: Part[]): Promise<void> {
      await db.$client.query({
        name: 'answered_in_inbox',
        text: ANSWERED,
        values: [id, contact, parts.map(({ conversation }) => conversation), parts.map(({ message }) => message), parts.map(({ part }) => part)]
      })
    }
  }
}

const KEEP = `
  WITH kept AS (
    INSERT INTO whatsapp_inbox (whatsapp_id, kind, contact, body, problem, sent_at, handled_at)
    SELECT id, kind, contact, body, problem, sent_at, CASE WHEN contact IS NULL THEN now() END
    FROM unnest($1::text[], $2::inbox_kind[], $3::text[], $4::bytea[], $5::text[], $6::timestamptz[])
      WITH ORDINALITY AS piece (id, kind, contact, body, problem, sent_at, place)
    ORDER BY id, place
    ON CONFLICT DO NOTHING
    RETURNING contact
  ), jobs AS (
    SELECT array_agg(json_populate_record(NULL::graphile_worker.job_spec,
      json_build_object('identifier', 'whatsapp-inbox', 'payload', json_build_object('contact', contact)))) AS specs
    FROM (SELECT DISTINCT contact FROM kept WHERE contact IS NOT NULL) contacts
    HAVING count(*) > 0
  )
  SELECT count(*) FROM jobs, graphile_worker.add_jobs(jobs.specs)`

const ANSWERED = `
  WITH queued AS (
    INSERT INTO whatsapp_deliveries (conversation_id, message_id, part, contact)
    SELECT reply.conversation, reply.message, reply.part, $2
    FROM unnest($3::bigint[], $4::bigint[], $5::smallint[]) WITH ORDINALITY AS reply (conversation, message, part, place)
    ORDER BY reply.place
    ON CONFLICT DO NOTHING
    RETURNING id
  ), job AS (
    SELECT count(graphile_worker.add_job('whatsapp-send', json_build_object('contact', $2::text))) AS added
    FROM (SELECT FROM queued LIMIT 1) any_queued
  )
  UPDATE whatsapp_inbox SET handled_at = now() WHERE (id = $1 OR (contact = $2 AND together_with = $1)) AND (SELECT added FROM job) >= 0`
