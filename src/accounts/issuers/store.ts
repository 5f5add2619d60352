import { and, eq, isNull, sql } from 'drizzle-orm'
import { Value } from 'typebox/value'
import type { Db, Transaction } from '../../db/client.ts'
import { externalSessions, externalUsers, sessions, users } from '../../db/tables.ts'
import { keyOf } from '../../text/username.ts'
import { mailboxOf } from '../address.ts'
import { logAction } from '../admin-log-store.ts'
import { endLinksToOtherAddresses } from '../recovery-store.ts'
import { Username } from '../schema.ts'
import { mustBeFree, readUsername } from '../username-store.ts'
import type { ExternalProfile } from './claims.ts'
import type { ExternalToken } from './verifier.ts'

/** The User-Agent and the address of the first request with a token. */
export interface TokenUse { userAgent: string | undefined, ip: string }

export type IssuerStore = ReturnType<typeof createIssuerStore>

const known = { id: users.id, name: users.name, picture: users.picture, email: users.email, emailVerifiedAt: users.emailVerifiedAt, role: users.role, lockedAt: users.lockedAt }
type Known = Pick<typeof users.$inferSelect, keyof typeof known>

/** The users of other issuers, and their sessions. */
export function createIssuerStore (db: Db) {
  return {
    /**
     * Gives the id of the session that a token belongs to; undefined when the session or its user was deleted, or the user
     * is locked. The first token of a subject creates the user, and the first one of a session creates the session. Later ones extend
     * the session, unless it was ended, and update the user's profile.
     */
    async enter ({ issuer, subject, sessionKey, endsAt, profile }: ExternalToken, { userAgent, ip }: TokenUse): Promise<number | undefined> {
      return await db.transaction(async tx => {
        // Of many first tokens of one subject, on whichever instances, one makes the user, and the others wait for it.
        await tx.execute(sql`SELECT pg_advisory_xact_lock(hashtextextended(${JSON.stringify([issuer, subject])}, 0))`)
        const [found] = await tx.select(known).from(externalUsers).innerJoin(users, eq(users.id, externalUsers.userId))
          .where(and(eq(externalUsers.issuer, issuer), eq(externalUsers.subject, subject))).for('no key update', { of: users })
        const [session] = await tx.update(externalSessions).set({ endsAt: sql`greatest(${externalSessions.endsAt}, ${endsAt})` })
          .where(eq(externalSessions.key, sessionKey)).returning({ id: externalSessions.sessionId })
        if (session?.id === null || (found !== undefined && found.lockedAt !== null)) return undefined
        const user = found ?? await make(tx, issuer, subject, profile)
        await update(tx, user, issuer, profile)
        if (session !== undefined) return await prolong(tx, session.id, endsAt)
        await tx.update(users).set({ lastLoginAt: sql`now()` }).where(eq(users.id, user.id))
        const [begun] = await tx.insert(sessions)
          .values({ userId: user.id, kind: 'issuer', userAgent: userAgent?.slice(0, 500), ip, expiresAt: endsAt }).returning({ id: sessions.id })
        await tx.insert(externalSessions).values({ key: sessionKey, sessionId: begun!.id, endsAt })
        return begun!.id
      })
    }
  }
}

async function prolong (tx: Transaction, id: number, endsAt: Date) {
  await tx.update(sessions).set({ expiresAt: sql`greatest(${sessions.expiresAt}, ${endsAt})` }).where(and(eq(sessions.id, id), isNull(sessions.revokedAt)))
  return id
}

/** Creates a user, with the issuer's username if no other account has it. */
async function make (tx: Transaction, issuer: string, subject: string, { username }: ExternalProfile): Promise<Known> {
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

/** Updates a user from a new token. */
async function update (tx: Transaction, user: Known, issuer: string, { email, isAdmin, ...profile }: ExternalProfile) {
  const name = profile.name ?? user.name
  const picture = profile.picture ?? user.picture
  const role = isAdmin === undefined ? user.role : isAdmin ? 'admin' : 'user'
  if (name !== user.name || picture !== user.picture || role !== user.role) await tx.update(users).set({ name, picture, role }).where(eq(users.id, user.id))
  if (role !== user.role) await logAction(tx, { id: 0, username: issuer }, isAdmin ? 'admin.create' : 'admin.remove', { userId: user.id })
  const mailbox = email && mailboxOf(email)
  if (mailbox === undefined || (mailbox === user.email && user.emailVerifiedAt !== null)) return
  // The unique index refuses an address that another account has verified.
  await tx.transaction(async part => {
    await part.update(users).set({ email: mailbox, emailVerifiedAt: sql`now()` }).where(eq(users.id, user.id))
    await endLinksToOtherAddresses(part, user.id, mailbox)
  }).catch(() => { /* if the connection is gone, the next statement fails */ })
}
