import { desc, eq, getTableColumns, lt, sql } from 'drizzle-orm'
import type { Db, Transaction } from '../db/client.ts'
import { users } from '../db/tables.ts'
import { USER_NOT_FOUND } from '../errors.ts'
import { keyOf } from '../text/username.ts'
import { logAction, type Admin } from './admin-log-store.ts'
import { lockForRemoval, mustNotBeLastAdmin, removeLocked } from './removal-store.ts'
import type { UserChanges } from './admin-schema.ts'
import { endSessionsOf, type Sessions } from './sessions.ts'

export type AdminUserStore = ReturnType<typeof createAdminUserStore>

/** How many users a search looks at for one page at most. The next page continues after them. */
const MAX_SEARCHED_USERS = 50_000

const shown = {
  id: users.id,
  username: users.username,
  name: users.name,
  email: users.email,
  is_email_verified: sql<boolean>`${users.emailVerifiedAt} IS NOT NULL`,
  phone_number: users.phoneNumber,
  origin: users.origin,
  role: users.role,
  is_guest: users.isGuest,
  is_locked: sql<boolean>`${users.lockedAt} IS NOT NULL`,
  locked_at: users.lockedAt,
  budget: users.budgetTokens,
  created_at: users.createdAt,
  last_login_at: users.lastLoginAt
}

/** Users as admins see, lock and delete them. Each action is recorded in the admin log in the same transaction. */
export function createAdminUserStore (db: Db, sessions: Pick<Sessions, 'announce'>) {
  /** Locks the user's row. @throws USER_NOT_FOUND */
  async function lock (tx: Transaction, id: number) {
    const [row] = await tx.select({ id: users.id }).from(users).where(eq(users.id, id)).for('update')
    if (row === undefined) throw new USER_NOT_FOUND()
  }

  return {
    /**
     * A page of users, newest first: those whose username, name or e-mail address contains `q`, in any case. `next` is where
     * the following page begins. In a search, a page may be short or even empty without being the last one.
     */
    async list ({ limit, before = Number.MAX_SAFE_INTEGER, q }: { limit: number, before?: number, q?: string }) {
      const window = db.select({ ...getTableColumns(users) }).from(users).where(lt(users.id, before)).orderBy(desc(users.id)).limit(MAX_SEARCHED_USERS).as('users')
      const has = (text: string, column: 'usernameKey' | 'name' | 'email') => sql`position(${text} IN lower(${window[column]})) > 0`
      const found = q === undefined
        ? await db.select(shown).from(users).where(lt(users.id, before)).orderBy(desc(users.id)).limit(limit + 1)
        : await db.select(shown).from(window)
          .where(sql`(${has(keyOf(q), 'usernameKey')} OR ${has(q.toLowerCase(), 'name')} OR ${has(q.toLowerCase(), 'email')})`)
          .orderBy(desc(window.id)).limit(limit + 1)
      const page = found.slice(0, limit)
      if (found.length > limit) return { page, next: page.at(-1)!.id }
      if (q === undefined) return { page, next: undefined }
      const [beyond] = await db.select({ id: users.id }).from(users).where(lt(users.id, before)).orderBy(desc(users.id)).offset(MAX_SEARCHED_USERS).limit(1)
      return { page, next: beyond && beyond.id + 1 }
    },

    /** @throws USER_NOT_FOUND */
    async get (id: number) {
      const [row] = await db.select({
        ...shown,
        tokens_today: sql<number>`(SELECT coalesce(sum(prompt_tokens::bigint + completion_tokens), 0)::bigint FROM reply_costs
          WHERE user_id = users.id AND reply_costs.created_at >= date_trunc('day', now(), 'UTC'))`
      }).from(users).where(eq(users.id, id))
      if (row === undefined) throw new USER_NOT_FOUND()
      return row
    },

    /** Locking ends all sessions. @throws USER_NOT_FOUND, LAST_ADMIN */
    async change (admin: Admin, id: number, { is_locked: isLocked, budget }: UserChanges) {
      const ended = await db.transaction(async tx => {
        if (isLocked) await mustNotBeLastAdmin(tx, id)
        await lock(tx, id)
        if (isLocked !== undefined) await logAction(tx, admin, isLocked ? 'user.lock' : 'user.unlock', { userId: id })
        if (budget !== undefined) {
          await tx.update(users).set({ budgetTokens: budget }).where(eq(users.id, id))
          await logAction(tx, admin, 'user.budget', { userId: id, details: { budget } })
        }
        // After the log, which takes no entries of a locked admin: admins may lock themselves.
        if (isLocked !== undefined) await tx.update(users).set({ lockedAt: isLocked ? sql`coalesce(${users.lockedAt}, now())` : null }).where(eq(users.id, id))
        return isLocked ? await endSessionsOf([id], tx) : []
      })
      await sessions.announce(ended)
      return await this.get(id)
    },

    /** @throws USER_NOT_FOUND */
    async endSessions (admin: Admin, id: number) {
      await sessions.announce(await db.transaction(async tx => {
        await lock(tx, id)
        const ended = await endSessionsOf([id], tx)
        await logAction(tx, admin, 'user.end_sessions', { userId: id, details: { sessions: ended.length } })
        return ended
      }))
    },

    /** Deletes a user as they would do it themselves. @throws USER_NOT_FOUND, LAST_ADMIN */
    async remove (admin: Admin, id: number) {
      await sessions.announce(await db.transaction(async tx => {
        await mustNotBeLastAdmin(tx, id)
        await lockForRemoval(tx, [id], async part => await lock(part, id))
        await logAction(tx, admin, 'user.delete', { userId: id })
        return await removeLocked(tx, [id])
      }))
    }
  }
}
