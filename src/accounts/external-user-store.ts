import { isDeepStrictEqual } from 'node:util'
import { and, eq, sql } from 'drizzle-orm'
import { Value } from 'typebox/value'
import type { Transaction } from '../db/client.ts'
import { externalUsers, users } from '../db/tables.ts'
import { keyOf } from '../text/username.ts'
import { mailboxOf } from './address.ts'
import { endLinksToOtherAddresses } from './recovery-store.ts'
import { Username } from './schema.ts'
import { mustBeFree, readUsername } from './username-store.ts'

// Users who are authenticated elsewhere: by another issuer of tokens, or by a server with a key.

const known = { id: users.id, name: users.name, picture: users.picture, metadata: users.metadata, email: users.email, emailVerifiedAt: users.emailVerifiedAt, role: users.role, lockedAt: users.lockedAt }
export type ExternalUser = Pick<typeof users.$inferSelect, keyof typeof known>

/** What to change. What is undefined stays as it is. */
export interface ExternalChanges {
  name?: string | undefined
  picture?: string | undefined
  email?: string | undefined
  role?: 'user' | 'admin' | undefined
  metadata?: Record<string, unknown> | undefined
}

/**
 * Finds a user and locks the row; undefined if there is none. Also takes a lock on the subject itself, so that of many first
 * calls, on whichever instances, one creates the user and the others wait for it.
 */
export async function lockExternalUser (tx: Transaction, issuer: string, subject: string): Promise<ExternalUser | undefined> {
  await tx.execute(sql`SELECT pg_advisory_xact_lock(hashtextextended(${JSON.stringify([issuer, subject])}, 0))`)
  const [found] = await tx.select(known).from(externalUsers).innerJoin(users, eq(users.id, externalUsers.userId))
    .where(and(eq(externalUsers.issuer, issuer), eq(externalUsers.subject, subject))).for('no key update', { of: users })
  return found
}

/** Creates a user, with this username if no other account has it. */
export async function makeExternalUser (tx: Transaction, issuer: string, subject: string, username?: string): Promise<ExternalUser> {
  const user = (Value.Check(Username, username) ? await makeNamed(tx, username) : undefined) ?? (await tx.insert(users).values({}).returning(known))[0]!
  await tx.insert(externalUsers).values({ issuer, subject, userId: user.id })
  return user
}

async function makeNamed (tx: Transaction, username: string) {
  // If two accounts take the same name at the same moment, the unique index refuses the second one. Only this savepoint is rolled back.
  return await tx.transaction(async part => {
    const stored = readUsername(username)
    await mustBeFree(part, stored)
    const [user] = await part.insert(users).values({ username: stored, usernameKey: keyOf(stored) }).returning(known)
    return user
  }).catch(() => undefined)
}

/** Updates what differs, and returns whether anything did. The address counts as verified, unless another account has verified it. */
export async function updateExternalUser (tx: Transaction, user: ExternalUser, changes: ExternalChanges): Promise<boolean> {
  const { name = user.name, picture = user.picture, role = user.role, metadata = user.metadata } = changes
  const differs = name !== user.name || picture !== user.picture || role !== user.role || !isDeepStrictEqual(metadata, user.metadata)
  if (differs) await tx.update(users).set({ name, picture, role, metadata }).where(eq(users.id, user.id))
  const mailbox = changes.email && mailboxOf(changes.email)
  if (mailbox === undefined || (mailbox === user.email && user.emailVerifiedAt !== null)) return differs
  // The unique index refuses an address that another account has verified. If the connection is gone, the next statement fails.
  return await tx.transaction(async part => {
    await part.update(users).set({ email: mailbox, emailVerifiedAt: sql`now()` }).where(eq(users.id, user.id))
    await endLinksToOtherAddresses(part, user.id, mailbox)
    return true
  }).catch(() => differs)
}
