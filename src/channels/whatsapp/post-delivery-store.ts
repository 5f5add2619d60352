import { sql } from 'drizzle-orm'
import type { WhatsAppPost } from '../../conversations/messages/post-store.ts'
import type { Transaction } from '../../db/client.ts'
import { addJob } from '../../db/jobs.ts'
import { identities, whatsappContacts, whatsappDeliveries } from '../../db/tables.ts'
import { partsOf } from './parts.ts'

/**
 * Puts a message that a server wrote into the ledger, in as many parts as a reply would have, and adds the job that sends them.
 * The contact is found by the owner's addresses; a user id comes first, because a number may belong to somebody else by now. While a
 * notice of a new number waits to be processed, the owner still has the old address, which leads to no contact. Then it is the
 * contact of the last message to the owner, unless that has the address of another user by now.
 */
export async function deliverPost (tx: Transaction, { owner, conversation, message, text }: WhatsAppPost): Promise<void> {
  const { rows: [known] } = await tx.execute<{ contact: string }>(sql`
    SELECT coalesce(known.contact, last.contact, note_whatsapp_contact(in_user_id => own.user_id, in_phone => own.phone)) AS contact
    FROM (
      SELECT CASE WHEN address !~ '^[0-9]+$' THEN address END AS user_id, CASE WHEN address ~ '^[0-9]+$' THEN address END AS phone
      FROM ${identities} WHERE ${identities.channel} = 'whatsapp' AND ${identities.userId} = ${owner}
    ) own
    CROSS JOIN LATERAL find_whatsapp_contact(in_user_id => own.user_id, in_phone => own.phone) known
    LEFT JOIN LATERAL (
      SELECT d.contact FROM ${whatsappDeliveries} d LEFT JOIN ${whatsappContacts} c ON c.contact = d.contact
      WHERE d.conversation_id = ${conversation} AND NOT EXISTS (
        SELECT FROM ${identities} i WHERE i.channel = 'whatsapp' AND i.address = coalesce(c.user_id, c.phone, d.contact) AND i.user_id <> ${owner})
      ORDER BY d.message_id DESC LIMIT 1
    ) last ON true
    ORDER BY known.contact IS NULL, own.user_id IS NULL, known.last_message_at DESC NULLS LAST LIMIT 1`)
  const { contact } = known!
  await tx.insert(whatsappDeliveries).values(partsOf({ text, status: 'complete' }).map((_text, part) => ({ conversationId: conversation, messageId: message, part, contact })))
  await addJob(tx, 'whatsapp-send', { contact })
}
