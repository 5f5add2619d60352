import { sql } from 'drizzle-orm'
import type { WhatsAppPost } from '../../conversations/messages/post-store.ts'
import type { Transaction } from '../../db/client.ts'
import { addJob } from '../../db/jobs.ts'
import { identities, whatsappDeliveries } from '../../db/tables.ts'
import { partsOf } from './parts.ts'

/**
 * Puts a message that a server wrote into the ledger, in as many parts as a reply would have, and adds the job that sends them.
 * The contact is found by the owner's addresses; a user id comes first, because a number may belong to somebody else by now.
 */
export async function deliverPost (tx: Transaction, { owner, conversation, message, text }: WhatsAppPost): Promise<void> {
  const isPhone = sql`${identities.address} ~ '^[0-9]+$'`
  const { rows: [known] } = await tx.execute<{ contact: string }>(sql`
    SELECT known.contact FROM ${identities}
    CROSS JOIN LATERAL find_whatsapp_contact(
      in_user_id => CASE WHEN NOT ${isPhone} THEN ${identities.address} END,
      in_phone => CASE WHEN ${isPhone} THEN ${identities.address} END
    ) known
    WHERE ${identities.channel} = 'whatsapp' AND ${identities.userId} = ${owner} AND known.contact IS NOT NULL
    ORDER BY ${isPhone}, known.last_message_at DESC NULLS LAST LIMIT 1`)
  const { contact } = known!
  await tx.insert(whatsappDeliveries).values(partsOf({ text, status: 'complete' }).map((_text, part) => ({ conversationId: conversation, messageId: message, part, contact })))
  await addJob(tx, 'whatsapp-send', { contact })
}
