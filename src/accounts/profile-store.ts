import { and, eq, sql } from 'drizzle-orm'
import { unlessTaken, type Db } from '../db/client.ts'
import { externalUsers, oneTimeTokens, users } from '../db/tables.ts'
import { UNAUTHORIZED, WRONG_PASSWORD, USERNAME_TAKEN } from '../errors.ts'
import { keyOf } from '../text/username.ts'
import { mailboxOf } from './address.ts'
import { askToVerify, endLinksToOtherAddresses } from './recovery-store.ts'
import { lockForRemoval, mustNotBeLastAdmin, removeLocked } from './removal-store.ts'
import type { Profile, ProfileChanges } from './schema.ts'
import { endSessionsOf, type Sessions } from './sessions.ts'
import { mustBeFree } from './username-store.ts'

export type ProfileStore = ReturnType<typeof createProfileStore>

/** Changes of a profile. `passwordHash` is undefined for no change. */
type Changes = Omit<ProfileChanges, 'password' | 'current_password'> & { passwordHash?: string | undefined }

/** An account as its owner sees, changes and deletes it. */
export function createProfileStore (db: Db, sessions: Pick<Sessions, 'announce'>) {
  const external = (column: 'issuer' | 'subject') =>
    sql<string | null>`(SELECT ${externalUsers[column]} FROM ${externalUsers} WHERE ${externalUsers.userId} = users.id)`
  const profile = {
    id: users.id,
    username: users.username,
    name: users.name,
    picture: users.picture,
    issuer: external('issuer'),
    external_id: external('subject'),
    email: users.email,
    is_email_verified: sql<boolean>`${users.emailVerifiedAt} IS NOT NULL`,
    phone_number: users.phoneNumber,
    metadata: users.metadata,
    is_guest: users.isGuest,
    role: users.role,
    created_at: users.createdAt
  }

  /** Matches only while the proved password is still the current one: of two changes at the same moment, the second fails. */
  const isProved = (userId: number, provedHash: string | undefined) =>
    and(eq(users.id, userId), provedHash === undefined ? undefined : eq(users.passwordHash, provedHash))

  return {
    /** @throws UNAUTHORIZED when the account is gone meanwhile */
    async get (userId: number): Promise<Profile> {
      const [row] = await db.select(profile).from(users).where(eq(users.id, userId))
      if (row === undefined) throw new UNAUTHORIZED()
      return row
    },

    /** @throws UNAUTHORIZED when the account is gone meanwhile */
    async passwordHash (userId: number): Promise<string | null> {
      const [row] = await db.select({ hash: users.passwordHash }).from(users).where(eq(users.id, userId))
      if (row === undefined) throw new UNAUTHORIZED()
      return row.hash
    },

    /**
     * Changes a profile. A new address gets a mail that asks to verify it. A new password ends all sessions and open links.
     * @param provedHash the hash of the password that was given for it
     * @throws USERNAME_TAKEN; WRONG_PASSWORD when it was changed meanwhile; UNAUTHORIZED when the account is gone
     */
    async change (userId: number, provedHash: string | undefined, changes: Changes): Promise<Profile> {
      const { name, phone_number, username, passwordHash } = changes
      const email = changes.email && mailboxOf(changes.email)
      const done = await unlessTaken(db.transaction(async tx => {
        if (username !== undefined) await mustBeFree(tx, username, userId)
        const [changed] = await tx.update(users).set({
          name,
          phoneNumber: phone_number,
          ...username !== undefined && { username, usernameKey: keyOf(username) },
          ...email !== undefined && { email, emailVerifiedAt: sql`CASE WHEN lower(${users.email}) = lower(${email}) THEN ${users.emailVerifiedAt} END` },
          passwordHash,
          role: sql`${users.role}` // a change of nothing, since an UPDATE must set at least one column
        }).where(isProved(userId, provedHash)).returning(profile)
        if (changed === undefined) return undefined
        if (email !== undefined) await endLinksToOtherAddresses(tx, userId, email)
        if (email && !changed.is_email_verified) await askToVerify(tx, userId, email)
        if (passwordHash === undefined) return { ended: [], changed }
        await tx.update(oneTimeTokens).set({ usedAt: sql`now()` })
          .where(and(eq(oneTimeTokens.userId, userId), eq(oneTimeTokens.purpose, 'password_reset'), sql`${oneTimeTokens.usedAt} IS NULL`))
        return { ended: await endSessionsOf([userId], tx), changed }
      }), 'users_username_key', USERNAME_TAKEN)
      if (done === undefined) return await refuse(userId)
      await sessions.announce(done.ended)
      return done.changed
    },

    /**
     * Deletes an account, or a guest. A guest has no password, so none is checked.
     * @throws WRONG_PASSWORD when it was changed meanwhile; UNAUTHORIZED when the account is gone; LAST_ADMIN
     */
    async remove (userId: number, provedHash?: string) {
      const ended = await db.transaction(async tx => {
        await mustNotBeLastAdmin(tx, userId)
        const [proved] = await lockForRemoval(tx, [userId], async part => await part.select({ id: users.id }).from(users).where(isProved(userId, provedHash)).for('update'))
        if (proved === undefined) return undefined
        return await removeLocked(tx, [userId])
      })
      if (ended === undefined) return await refuse(userId)
      await sessions.announce(ended)
    }
  }

  /** Finds out why a change matched no row: the account has another password now, or was deleted. */
  async function refuse (userId: number): Promise<never> {
    const [row] = await db.select({ id: users.id }).from(users).where(eq(users.id, userId))
    throw row === undefined ? new UNAUTHORIZED() : new WRONG_PASSWORD()
  }
}
