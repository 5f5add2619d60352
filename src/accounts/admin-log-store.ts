import { and, desc, eq, isNull, lt } from 'drizzle-orm'
import type { Db } from '../db/client.ts'
import { adminLog, users } from '../db/tables.ts'
import { NOT_AN_ADMIN } from '../errors.ts'
import { cutPage } from '../http/paging.ts'

export type AdminLogStore = ReturnType<typeof createAdminLogStore>

/** The admin who does something; 0 for what is not a user. `key` is the id of the server key that does it. */
export interface Admin { id: number, username: string | null, name?: string | null, key?: number }

export const ADMIN_ACTIONS = [
  'admin.create', 'admin.remove', 'bot.create', 'bot.change', 'bot.delete', 'delivery.retry', 'invitation.create', 'invitation.revoke', 'key.act', 'key.create', 'key.revoke', 'message.post', 'template.send',
  'user.change', 'user.create', 'user.lock', 'user.unlock', 'user.budget', 'user.end_sessions', 'user.delete', 'user.token'
] as const
export type AdminAction = typeof ADMIN_ACTIONS[number]

/** `userId` is the user who was affected. `details` is kept after accounts are deleted, so it must not contain secrets or personal data. */
interface About { userId?: number, details?: Record<string, unknown> }

/**
 * Records what an admin did, in the same transaction, so that both are stored or neither is. The entry can never be changed. A request
 * may have waited since its caller was checked, such as for a password to be hashed, so this checks again.
 * @throws NOT_AN_ADMIN for a user who is no admin any more, or is locked
 */
export async function logAction (tx: Pick<Db, 'insert' | 'select'>, admin: Admin, action: AdminAction, { userId, details }: About = {}): Promise<void> {
  if (admin.id !== 0) {
    const [still] = await tx.select({ id: users.id }).from(users).where(and(eq(users.id, admin.id), eq(users.role, 'admin'), isNull(users.lockedAt)))
    if (still === undefined) throw new NOT_AN_ADMIN()
  }
  const adminName = [admin.username, admin.name].find(name => typeof name === 'string')
  await tx.insert(adminLog).values({ adminId: admin.id, adminName, action, userId, details: admin.key === undefined ? details : { ...details, key: admin.key } })
}

interface Filter { limit: number, before?: number, admin?: number, user?: number, action?: AdminAction }

/** The log of admin actions. */
export function createAdminLogStore (db: Db) {
  return {
    /** A page of the log, newest first. */
    async list ({ limit, before = Number.MAX_SAFE_INTEGER, admin, user, action }: Filter) {
      const rows = await db.select({
        id: adminLog.id,
        created_at: adminLog.createdAt,
        admin_id: adminLog.adminId,
        admin_name: adminLog.adminName,
        action: adminLog.action,
        user_id: adminLog.userId,
        details: adminLog.details
      }).from(adminLog).where(and(
        lt(adminLog.id, before),
        admin === undefined ? undefined : eq(adminLog.adminId, admin),
        user === undefined ? undefined : eq(adminLog.userId, user),
        action === undefined ? undefined : eq(adminLog.action, action)
      )).orderBy(desc(adminLog.id)).limit(limit + 1)
      return cutPage(rows, limit)
    }
  }
}
