import { and, desc, eq, lt } from 'drizzle-orm'
import type { Db } from '../../db/client.ts'
import { sessions, users } from '../../db/tables.ts'
import { KEY_NOT_FOUND, UNAUTHORIZED } from '../../errors.ts'
import { cutPage } from '../../http/paging.ts'
import { isAlive, SESSION_LIFETIME_SECONDS, type Sessions, type SessionUser } from '../sessions.ts'
import { makeKey } from './key.ts'

export type PersonalKeyStore = ReturnType<typeof createPersonalKeyStore>

interface NewPersonalKey { name: string, expiresAt: Date | undefined, ip: string }

const shown = { id: sessions.id, name: sessions.userAgent, created_at: sessions.createdAt, last_used_at: sessions.lastUsedAt, expires_at: sessions.expiresAt }

/** Keys for a user's own scripts. Each is a session of its own kind, so that it ends as sessions do. */
export function createPersonalKeyStore (db: Db, { end }: Pick<Sessions, 'end'>) {
  return {
    /** Creates a key. The returned key is stored nowhere. @throws UNAUTHORIZED if the user's session has ended meanwhile */
    async create ({ id: userId, sessionId }: SessionUser, { name, expiresAt, ip }: NewPersonalKey) {
      const { key, hash: keyHash } = makeKey('uk_')
      return await db.transaction(async tx => {
        // A transaction that ends all sessions of a user locks the user's row first. So it either ends this key too, or we see that our session has ended.
        await tx.select({ id: users.id }).from(users).where(eq(users.id, userId)).for('no key update')
        const [session] = await tx.select({ serverKeyId: sessions.serverKeyId }).from(sessions).where(and(eq(sessions.id, sessionId), isAlive))
        if (session === undefined) throw new UNAUTHORIZED()
        const [row] = await tx.insert(sessions).values({
          ...session, userId, kind: 'personal_key', userAgent: name, ip, keyHash, expiresAt: expiresAt ?? new Date(Date.now() + SESSION_LIFETIME_SECONDS.personal_key * 1000)
        }).returning(shown)
        return { ...row!, key }
      })
    },

    /** A page of the user's keys that may be used, newest first. */
    async list (userId: number, { limit, before = Number.MAX_SAFE_INTEGER }: { limit: number, before?: number }) {
      return cutPage(await db.select(shown).from(sessions)
        .where(and(eq(sessions.userId, userId), eq(sessions.kind, 'personal_key'), lt(sessions.id, before), isAlive)).orderBy(desc(sessions.id)).limit(limit + 1), limit)
    },

    /** @throws KEY_NOT_FOUND */
    async revoke (userId: number, id: number) {
      if (!await end(userId, id, eq(sessions.kind, 'personal_key'))) throw new KEY_NOT_FOUND()
    }
  }
}
