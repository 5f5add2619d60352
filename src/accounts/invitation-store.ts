import { createHash, randomBytes } from 'node:crypto'
import { and, desc, eq, gt, isNull, lt, sql } from 'drizzle-orm'
import type { Db, Transaction } from '../db/client.ts'
import { invitations } from '../db/tables.ts'
import { INVALID_INVITATION, INVITATION_NOT_FOUND } from '../errors.ts'
import { cutPage } from '../http/paging.ts'
import { logAction, type Admin } from './admin-log-store.ts'

export type InvitationStore = ReturnType<typeof createInvitationStore>

const isGood = (token: string) => and(eq(invitations.secretHash, hashOf(token)), isNull(invitations.usedAt), gt(invitations.expiresAt, sql`now()`))

/** One-time links to sign up. Only a hash is stored, so that read access to the database is not enough to use one. */
export function createInvitationStore (db: Db) {
  return {
    /** Creates an invitation that is valid for this many seconds. Only the caller ever gets its token. */
    async create (admin: Admin, expiresIn: number) {
      const token = randomBytes(24).toString('base64url')
      return await db.transaction(async tx => {
        const [row] = await tx.insert(invitations)
          .values({ secretHash: hashOf(token), createdBy: admin.id, expiresAt: sql`now() + make_interval(secs => ${expiresIn})` })
          .returning({ id: invitations.id, expires_at: invitations.expiresAt })
        await logAction(tx, admin, 'invitation.create', { details: { invitation: row!.id } })
        return { ...row!, token }
      })
    },

    /** A page of all invitations, newest first. */
    async list ({ limit, before = Number.MAX_SAFE_INTEGER }: { limit: number, before?: number }) {
      const rows = await db.select({
        id: invitations.id,
        created_by: invitations.createdBy,
        created_at: invitations.createdAt,
        expires_at: invitations.expiresAt,
        used_at: invitations.usedAt,
        used_by: invitations.usedBy
      }).from(invitations).where(lt(invitations.id, before)).orderBy(desc(invitations.id)).limit(limit + 1)
      return cutPage(rows, limit)
    },

    /** Deletes an invitation. An account that was created with it stays. @throws INVITATION_NOT_FOUND */
    async revoke (admin: Admin, id: number) {
      await db.transaction(async tx => {
        const [row] = await tx.delete(invitations).where(eq(invitations.id, id)).returning({ id: invitations.id })
        if (row === undefined) throw new INVITATION_NOT_FOUND()
        await logAction(tx, admin, 'invitation.revoke', { details: { invitation: id } })
      })
    },

    /** @throws INVALID_INVITATION for one that is used, expired, revoked or does not exist */
    async mustBeGood (token: string) {
      const [row] = await db.select({ id: invitations.id }).from(invitations).where(isGood(token))
      if (row === undefined) throw new INVALID_INVITATION()
    },

    /**
     * Marks an invitation as used by an account, in the transaction that creates the account. If two use it at the same
     * moment, the second waits for the first and is refused. @throws INVALID_INVITATION
     */
    async redeem (tx: Transaction, token: string, userId: number) {
      const used = await tx.update(invitations).set({ usedAt: sql`now()`, usedBy: userId }).where(isGood(token)).returning({ id: invitations.id })
      if (used.length === 0) throw new INVALID_INVITATION()
    }
  }
}

function hashOf (token: string) {
  return createHash('sha256').update(token).digest('hex')
}
