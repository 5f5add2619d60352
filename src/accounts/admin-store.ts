import { eq } from 'drizzle-orm'
import type { Db } from '../db/client.ts'
import { users } from '../db/tables.ts'
import { logAction } from './admin-log-store.ts'
import { isNamed, typedFirst } from './username-store.ts'

/** How the log of admin actions shows commands that were run on the server itself. */
const COMMAND = { id: 0, username: 'npm run admin' }

/** Whether any account is an admin. */
export async function hasAdmin (db: Pick<Db, 'select'>): Promise<boolean> {
  const [admin] = await db.select({ id: users.id }).from(users).where(eq(users.role, 'admin')).limit(1)
  return admin !== undefined
}

/** Makes an account an admin; false when there is no account with this username. */
export async function makeAdmin (db: Db, username: string): Promise<boolean> {
  return await db.transaction(async tx => {
    const named = tx.select({ id: users.id }).from(users).where(isNamed(username)).orderBy(typedFirst(username)).limit(1)
    const [admin] = await tx.update(users).set({ role: 'admin' }).where(eq(users.id, named)).returning({ id: users.id })
    if (admin !== undefined) await logAction(tx, COMMAND, 'admin.create', { userId: admin.id })
    return admin !== undefined
  })
}
