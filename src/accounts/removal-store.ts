import { and, eq, inArray, isNull, ne, sql, TransactionRollbackError, type SQL } from 'drizzle-orm'
import type { Transaction } from '../db/client.ts'
import { conversations, conversationUsers, identities, messages, oneTimeTokens, turns, users, whatsappContacts, whatsappDeliveries, whatsappInbox } from '../db/tables.ts'
import { LAST_ADMIN } from '../errors.ts'
import { forgotKey, hashedAddress } from './recovery-store.ts'
import { endSessionsOf } from './sessions.ts'

// Deletes users: at their own request, by an admin, or in the daily clean-up.

/**
 * Locks all conversations that these users are in or have written in, and then, by `lockUsers`, the users' rows FOR UPDATE. Without
 * the locks, somebody could join a conversation that is about to be deleted, or hand one over to a user who is about to be deleted.
 * Storing a message takes the locks in this order, and the other order could deadlock. So it begins again if the users have come into
 * another conversation before their rows were locked. Returns what `lockUsers` returns.
 */
export async function lockForRemoval<Locked> (tx: Transaction, ids: number[], lockUsers: (tx: Transaction) => Promise<Locked>): Promise<Locked> {
  const isIn = () => inArray(conversations.id, tx.select({ id: conversationUsers.conversationId }).from(conversationUsers).where(inArray(conversationUsers.userId, ids))
    .union(tx.select({ id: messages.conversationId }).from(messages).where(inArray(messages.userId, ids))))
  for (;;) {
    // In a savepoint, because rolling back to it gives up the locks.
    const done = await tx.transaction(async part => {
      const locked = await part.select({ id: conversations.id }).from(conversations).where(isIn()).orderBy(conversations.id).for('update')
      const result = await lockUsers(part)
      const known = new Set(locked.map(({ id }) => id))
      const all = await part.select({ id: conversations.id }).from(conversations).where(isIn())
      return all.every(({ id }) => known.has(id)) ? { result } : part.rollback()
    }).catch(unlessRolledBack)
    if (done !== undefined) return done.result
  }
}

/** Returns undefined after a rollback that we wanted. */
export function unlessRolledBack (error: unknown): undefined {
  if (!(error instanceof TransactionRollbackError)) throw error
}

/**
 * Deletes users with all their data. The caller must have locked their rows and conversations. A conversation with others
 * is handed over to the member who joined first; the deleted users' messages in it stay, without an author. Returns the
 * sessions that ended, which the caller announces after the commit.
 *
 * WhatsApp's messages are stored without these locks. If one that was received at `keptSince` or later waits for its answer, the
 * transaction is rolled back with a TransactionRollbackError.
 */
export async function removeLocked (tx: Transaction, ids: number[], keptSince: SQL = sql`'infinity'::timestamptz`): Promise<number[]> {
  const ended = await endSessionsOf(ids, tx)
  await tx.execute(sql`SELECT hand_over(in_owner => id) FROM unnest(${sql.param(ids)}::bigint[]) AS id`)
  await forgetInConversations(tx, ids)
  await forgetMails(tx, ids)
  await forgetWhatsApp(tx, ids, keptSince)
  await tx.delete(users).where(inArray(users.id, ids))
  return ended
}

/**
 * Removes everything except the texts and parts from conversations with others. A guided bot's state may contain answers of any
 * member, so it is deleted in all conversations in which one of these users has written, and the script starts again.
 * A finished conversation of a phone or a contact stays finished, because only one of theirs may be unfinished.
 */
async function forgetInConversations (tx: Transaction, ids: number[]) {
  const areTheirs = inArray(messages.userId, ids)
  await tx.update(conversations).set({ state: {}, isFinished: sql`CASE WHEN is_contact_origin(${conversations.origin}) THEN ${conversations.isFinished} ELSE false END` }).where(and(
    inArray(conversations.id, tx.selectDistinct({ id: messages.conversationId }).from(messages).where(areTheirs)), ne(conversations.state, sql`'{}'`)))
  await tx.update(messages).set({ clientId: null, clientTextHash: null, costSoFar: null, metadata: null })
    .where(and(areTheirs, sql`(${messages.clientId} IS NOT NULL OR ${messages.clientTextHash} IS NOT NULL OR ${messages.metadata} IS NOT NULL)`))
}

/** Replaces the address of mails of the last hour by a hash, so that they still count against the limit for that address. */
async function forgetMails (tx: Transaction, ids: number[]) {
  await tx.update(oneTimeTokens).set({ userId: null, usedAt: sql`coalesce(${oneTimeTokens.usedAt}, now())`, address: hashedAddress(oneTimeTokens.address) })
    .where(and(inArray(oneTimeTokens.userId, ids), sql`${oneTimeTokens.createdAt} > now() - interval '1 hour'`))
  const found = await tx.select({ email: users.email }).from(users).where(and(inArray(users.id, ids), sql`${users.email} IS NOT NULL`))
  for (const { email } of found) await tx.execute(sql`SELECT FROM graphile_worker.remove_job(${forgotKey(email!)})`)
}

/**
 * Deletes the WhatsApp data of all addresses of these users. A contact of another user is left out: its key may be a number that one of
 * these users had before or has now.
 */
async function forgetWhatsApp (tx: Transaction, ids: number[], keptSince: SQL) {
  /** The key of a contact that WhatsApp introduced by a user id. Other keys are numbers, such as 16505551234 or 16505551234-2. */
  const keyIfUserId = sql`substring(${whatsappContacts.contact} FROM '^.*[^0-9-].*$')`
  const { rows } = await tx.execute<{ contact: string }>(sql`
    WITH known AS (
      SELECT ${identities.address} FROM ${identities} WHERE ${identities.channel} = 'whatsapp' AND ${identities.userId} = ANY(${sql.param(ids)})
    ), named AS (
      SELECT address FROM known
      UNION SELECT ${whatsappContacts.contact} FROM ${whatsappContacts} JOIN known ON ${whatsappContacts.userId} = known.address
      UNION SELECT ${whatsappContacts.contact} FROM ${whatsappContacts} JOIN known ON ${whatsappContacts.phone} = known.address
        WHERE ${whatsappContacts.userId} IS NULL
      UNION SELECT ${whatsappContacts.phone} FROM ${whatsappContacts} JOIN known ON ${whatsappContacts.contact} = known.address
        WHERE ${whatsappContacts.phone} IS NOT NULL
      UNION SELECT ${users.phoneNumber} FROM ${users}
        WHERE ${users.id} = ANY(${sql.param(ids)}) AND ${users.origin} = 'whatsapp' AND ${users.phoneNumber} IS NOT NULL
    )
    SELECT named.address AS contact FROM named LEFT JOIN ${whatsappContacts} ON ${whatsappContacts.contact} = named.address WHERE NOT EXISTS (
      SELECT FROM ${identities}
      WHERE ${identities.channel} = 'whatsapp' AND ${identities.address} = coalesce(${whatsappContacts.userId}, ${keyIfUserId}, ${whatsappContacts.phone}, named.address)
        AND ${identities.userId} <> ALL(${sql.param(ids)}))`)
  const contacts = rows.map(({ contact }) => contact)
  if (contacts.length === 0) return
  const keys = contacts.flatMap(contact => [`whatsapp-inbox ${contact}`, `whatsapp-send ${contact}`])
  // Delete the deliveries before the inbox and the jobs, because a status locks them in this order, too. Otherwise the two could deadlock.
  await tx.delete(whatsappDeliveries).where(inArray(whatsappDeliveries.conversationId, tx.select({ id: conversations.id }).from(conversations).where(inArray(conversations.ownerId, ids))))
  const forgotten = await tx.delete(whatsappInbox).where(inArray(whatsappInbox.contact, contacts))
    .returning({ isKept: sql<boolean>`${whatsappInbox.kind} = 'message' AND ${whatsappInbox.handledAt} IS NULL AND ${whatsappInbox.receivedAt} >= ${keptSince}` })
  if (forgotten.some(({ isKept }) => isKept)) tx.rollback()
  await tx.delete(whatsappContacts).where(inArray(whatsappContacts.contact, contacts))
  await tx.delete(turns).where(inArray(turns.key, keys))
  for (const key of keys) await tx.execute(sql`SELECT FROM graphile_worker.remove_job(${key})`)
}

/**
 * Refuses to lock or delete the last admin who is not locked. Call it first in a transaction: it takes a lock, so that when
 * two admins lock or delete each other at the same moment, the second one sees what the first one did.
 * @throws LAST_ADMIN
 */
export async function mustNotBeLastAdmin (tx: Transaction, userId: number): Promise<void> {
  const [user] = await tx.select({ role: users.role }).from(users).where(eq(users.id, userId))
  if (user?.role !== 'admin') return
  await tx.execute(sql`SELECT pg_advisory_xact_lock(hashtextextended('admins', 0))`)
  const others = await tx.$count(users, and(eq(users.role, 'admin'), ne(users.id, userId), isNull(users.lockedAt)))
  if (others === 0) throw new LAST_ADMIN()
}
