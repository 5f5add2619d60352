import { and, eq, sql } from 'drizzle-orm'
import type { Db } from '../../db/client.ts'
import { externalUsers, users } from '../../db/tables.ts'
import { USER_NOT_FOUND } from '../../errors.ts'
import { logAction } from '../admin-log-store.ts'
import type { AdminUserStore } from '../admin-user-store.ts'
import { lockExternalUser, makeExternalUser, updateExternalUser } from '../external-user-store.ts'
import { asAdmin, NO_ISSUER, type ServerKey } from './key-store.ts'
import type { ExternalUserChanges } from './schema.ts'

export type KeyUserStore = ReturnType<typeof createKeyUserStore>

const shown = {
  external_id: externalUsers.subject,
  id: users.id,
  name: users.name,
  email: users.email,
  picture: users.picture,
  metadata: users.metadata,
  is_locked: sql<boolean>`${users.lockedAt} IS NOT NULL`,
  created_at: users.createdAt
}

/** The users of server keys, by their ids in the app of the server. Each change is recorded in the admin log in the same transaction. */
export function createKeyUserStore (db: Db, adminUsers: Pick<AdminUserStore, 'remove'>) {
  /** @throws USER_NOT_FOUND */
  async function get (externalId: string, from: Pick<Db, 'select'> = db) {
    const [row] = await from.select(shown).from(externalUsers).innerJoin(users, eq(users.id, externalUsers.userId))
      .where(and(eq(externalUsers.issuer, NO_ISSUER), eq(externalUsers.subject, externalId)))
    if (row === undefined) throw new USER_NOT_FOUND()
    return row
  }

  return {
    get,

    /** Creates a user, or updates what differs. The same call again changes nothing. */
    async put (key: ServerKey, externalId: string, changes: ExternalUserChanges) {
      return await db.transaction(async tx => {
        const found = await lockExternalUser(tx, NO_ISSUER, externalId)
        const user = found ?? await makeExternalUser(tx, NO_ISSUER, externalId)
        const hasChanged = await updateExternalUser(tx, user, changes)
        if (found === undefined || hasChanged) await logAction(tx, asAdmin(key), found === undefined ? 'user.create' : 'user.change', { userId: user.id })
        return { isNew: found === undefined, user: await get(externalId, tx) }
      })
    },

    /** Deletes a user as they would do it themselves. @throws USER_NOT_FOUND, LAST_ADMIN */
    async remove (key: ServerKey, externalId: string) {
      const { id } = await get(externalId)
      await adminUsers.remove(asAdmin(key), id)
    }
  }
}
