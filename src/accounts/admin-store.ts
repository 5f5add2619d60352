import { eq } from 'drizzle-orm'
import type { Db } from '../db/client.js'
import { users } from '../db/tables.js'
import { keyOf } from './store.js'

/** Makes an admin of an account; false when there is none of this username. */
export async function makeAdmin (db: Db, username: string): Promise<boolean> {
  const admins = await db.update(users).set({ role: 'admin' }).where(eq(users.usernameKey, keyOf(username))).returning({ id: users.id })
  return admins.length > 0
}
