import { createHash } from 'node:crypto'
import { and, eq, sql } from 'drizzle-orm'
import { logAction, type Admin } from '../../accounts/admin-log-store.ts'
import { createIdentityStore } from '../../accounts/identity-store.ts'
import { announce } from '../../conversations/announce-store.ts'
import { violates, type Db, type Transaction } from '../../db/client.ts'
import { addJob } from '../../db/jobs.ts'
import { whatsappDeliveries } from '../../db/tables.ts'
import { IDEMPOTENCY_MISMATCH } from '../../errors.ts'
import { addressesOf, type Contact } from './addresses.ts'
import { selectDeliveries } from './ledger-store.ts'
import { describeTemplate, type Template } from './templates.ts'

export type TemplateStore = ReturnType<typeof createTemplateStore>

export interface TemplateRequest {
  admin: Admin
  clientId: string | undefined
  to: Contact
  template: Template
  /** What the log shows; left out: the template's name and variables. */
  text: string | undefined
}

/**
 * Sends templates in the same way as replies: each is a bot's message in the log and a row in the ledger. `changed` is
 * called with the conversation after the commit.
 */
export function createTemplateStore (db: Db, bot: string, changed: (conversation: number) => void) {
  return {
    /**
     * Puts a template into a contact's conversation and into the ledger, once for each client id of an admin. Gives the delivery.
     * @throws BOT_NOT_FOUND, IDEMPOTENCY_MISMATCH
     */
    async send (request: TemplateRequest) {
      for (;;) {
        const delivery = await db.transaction(tx => sendTemplate(tx, bot, request)).catch(unlessRaced)
        if (delivery === undefined) continue
        changed(delivery.conversation_id)
        return delivery
      }
    }
  }
}

/** Does it in a transaction. */
async function sendTemplate (tx: Transaction, bot: string, { admin, clientId, to, text, template }: TemplateRequest) {
  const adminId = admin.id
  const requestHash = createHash('sha256').update(JSON.stringify([to, text, template])).digest('base64url')
  const known = clientId === undefined ? undefined : await find(tx, adminId, clientId)
  if (known !== undefined) {
    if (known.requestHash !== requestHash) throw new IDEMPOTENCY_MISMATCH()
    return await read(tx, known.id)
  }
  const owner = await createIdentityStore(tx, 'whatsapp').identify(addressesOf(to), { phone: to.phone })
  const { conversation: conversationId, message: messageId } = await announce(tx, { owner, origin: 'whatsapp', bot, text: text ?? describeTemplate(template) })
  // After the lock of the conversation, as in the deletion of a contact.
  const { rows: [noted] } = await tx.execute<{ contact: string }>(sql`
    SELECT note_whatsapp_contact(in_user_id => ${to.userId ?? null}, in_phone => ${to.phone ?? null}) AS contact`)
  const contact = noted!.contact
  const [row] = await tx.insert(whatsappDeliveries).values({ conversationId, messageId, contact, template, adminId, clientId, requestHash })
    .returning({ id: whatsappDeliveries.id })
  await logAction(tx, admin, 'template.send', { userId: owner, details: { delivery: row!.id, template: template.name } })
  await addJob(tx, 'whatsapp-send', { contact })
  return await read(tx, row!.id)
}

async function find (tx: Transaction, adminId: number, clientId: string) {
  const [known] = await tx.select({ id: whatsappDeliveries.id, requestHash: whatsappDeliveries.requestHash }).from(whatsappDeliveries)
    .where(and(eq(whatsappDeliveries.adminId, adminId), eq(whatsappDeliveries.clientId, clientId)))
  return known
}

async function read (tx: Transaction, id: number) {
  const [delivery] = await selectDeliveries(tx).where(eq(whatsappDeliveries.id, id))
  return delivery!
}

/**
 * Returns undefined if the same request was stored at the same moment. Then nothing was stored here, and the next attempt
 * finds what the other one has stored.
 */
function unlessRaced (error: unknown): undefined {
  if (violates(error, 'whatsapp_deliveries_client_id')) return undefined
  throw error
}
