import { and, eq, inArray } from 'drizzle-orm'
import type { Db } from '../db/client.ts'
import { externalUsers, users } from '../db/tables.ts'
import { logAction } from './admin-log-store.ts'
import { isNamed, typedFirst } from './username-store.ts'

/** How the log of admin actions shows commands that were run on the server itself. */
const COMMAND = { id: 0, username: 'npm run admin' }

/** Whether any account is an admin. */
export async function hasAdmin (db: Pick<Db, 'select'>): Promise<boolean> {
  const [admin] = await db.select({ id: users.id }).from(users).where(eq(users.role, 'admin')).limit(1)
  return admin !== undefined
}

/** Makes an account an admin: the one with this username, or the user with this `sub` at an issuer. False when there is none. */
export async function makeAdmin (db: Db, who: string | { issuer: string, subject: string }): Promise<boolean> {
  return await db.transaction(async tx => {
    const found = typeof who === 'string'
      ? tx.select({ id: users.id }).from(users).where(isNamed(who)).orderBy(typedFirst(who)).limit(1)
      : tx.select({ id: externalUsers.userId }).from(externalUsers).where(and(eq(externalUsers.subject, who.subject), isIssuer(who.issuer))).limit(1)
    const [admin] = await tx.update(users).set({ role: 'admin' }).where(eq(users.id, found)).returning({ id: users.id })
    if (admin !== undefined) await logAction(tx, COMMAND, 'admin.create', { userId: admin.id })
    return admin !== undefined
  })
}

/** The setting may lack the slash at the end that the issuer has in its tokens, or have one. */
function isIssuer (issuer: string) {
  const plain = issuer.replace(/\/$/, '')
  return inArray(externalUsers.issuer, [plain, `${plain}/`])
}
