import { and, eq, isNull, lte, or, sql } from 'drizzle-orm'
import type { Db, Transaction } from '../../db/client.ts'
import { externalSessions, externalUsers, sessions, users } from '../../db/tables.ts'
import { ACCOUNT_LOCKED } from '../../errors.ts'
import { logAction } from '../admin-log-store.ts'
import { lockExternalUser, makeExternalUser, updateExternalUser, type ExternalUser } from '../external-user-store.ts'
import type { ExternalToken } from './verifier.ts'

/** The User-Agent and the address of the first request with a token. */
export interface TokenUse { userAgent: string | undefined, ip: string }

/** A user of an issuer, with the profile in the token. */
export type ExternalSubject = Pick<ExternalToken, 'issuer' | 'subject' | 'profile'>

export type IssuerStore = ReturnType<typeof createIssuerStore>

/** The users of other issuers, and their sessions. */
export function createIssuerStore (db: Db) {
  return {
    /**
     * Returns the id of the session that a token belongs to; undefined when the session or its user was deleted, or the user
     * is locked. The first token of a subject creates the user, and the first one of a session creates the session. Later ones extend
     * the session, unless it was ended, and update the user's profile, unless a token that was issued later has done so.
     */
    async enter ({ issuer, subject, sessionKey, endsAt, profile }: ExternalToken, { userAgent, ip }: TokenUse): Promise<number | undefined> {
      return await db.transaction(async tx => {
        const found = await lockExternalUser(tx, issuer, subject)
        const [session] = await tx.update(externalSessions).set({ endsAt: sql`greatest(${externalSessions.endsAt}, ${endsAt})` })
          .where(eq(externalSessions.key, sessionKey)).returning({ id: externalSessions.sessionId })
        if (session?.id === null || (found !== undefined && found.lockedAt !== null)) return undefined
        const user = await makeOrUpdate(tx, found, { issuer, subject, profile })
        if (session !== undefined) return await prolong(tx, session.id, endsAt)
        await tx.update(users).set({ lastLoginAt: sql`now()` }).where(eq(users.id, user.id))
        const [begun] = await tx.insert(sessions)
          .values({ userId: user.id, kind: 'issuer', userAgent: userAgent?.slice(0, 500), ip, expiresAt: endsAt }).returning({ id: sessions.id })
        await tx.insert(externalSessions).values({ key: sessionKey, sessionId: begun!.id, endsAt })
        return begun!.id
      })
    },

    /** Creates or updates the user of a subject who has just signed in at the issuer, and returns the user's id. @throws ACCOUNT_LOCKED */
    async signIn (subject: ExternalSubject): Promise<number> {
      return await db.transaction(async tx => {
        const found = await lockExternalUser(tx, subject.issuer, subject.subject)
        if (found !== undefined && found.lockedAt !== null) throw new ACCOUNT_LOCKED()
        return (await makeOrUpdate(tx, found, subject)).id
      })
    }
  }
}

async function makeOrUpdate (tx: Transaction, found: ExternalUser | undefined, { issuer, subject, profile }: ExternalSubject) {
  const user = found ?? await makeExternalUser(tx, issuer, subject, profile.username)
  // A device may still use a token from before a change at the issuer. It must not undo the change, such as make a former admin an admin again.
  if (!await isNewest(tx, user.id, profile.issuedAt)) return user
  const role = profile.isAdmin === undefined ? user.role : profile.isAdmin ? 'admin' : 'user'
  await updateExternalUser(tx, user, { ...profile, role })
  if (role !== user.role) await logAction(tx, { id: 0, username: issuer }, role === 'admin' ? 'admin.create' : 'admin.remove', { userId: user.id })
  return user
}

/** Whether no token of the user that was issued later is known. Stores when this one was issued. A token that does not say when counts as the newest. */
async function isNewest (tx: Transaction, userId: number, issuedAt: Date | undefined) {
  if (issuedAt === undefined) return true
  const noted = await tx.update(externalUsers).set({ issuedAt })
    .where(and(eq(externalUsers.userId, userId), or(isNull(externalUsers.issuedAt), lte(externalUsers.issuedAt, issuedAt)))).returning({ userId: externalUsers.userId })
  return noted.length > 0
}

async function prolong (tx: Transaction, id: number, endsAt: Date) {
  await tx.update(sessions).set({ expiresAt: sql`greatest(${sessions.expiresAt}, ${endsAt})` }).where(and(eq(sessions.id, id), isNull(sessions.revokedAt)))
  return id
}
