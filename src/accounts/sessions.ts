import DataLoader from 'dataloader'
import { and, eq, isNull, sql } from 'drizzle-orm'
import type { Db } from '../db/client.js'
import { sessions, users } from '../db/tables.js'

const HOUR = 60 * 60
/** How long a session lasts at most, in seconds. One in a cookie also ends 30 minutes after its last use. */
export const LIFETIME = { cookie: 7 * 24 * HOUR, access_token: 24 * HOUR, guest: 24 * HOUR }

export type SessionKind = keyof typeof LIFETIME
export type Sessions = ReturnType<typeof createSessions>
export type SessionUser = NonNullable<Awaited<ReturnType<Sessions['userOf']>>>

/** Sessions are rows, asked by every request: one that ended is ended, everywhere, at once. */
export function createSessions (db: Db) {
  // A use is noted within a minute, so that a session lasts the 30 minutes, and at most one more.
  const isAlive = and(
    isNull(sessions.revokedAt),
    sql`${sessions.expiresAt} > now()`,
    sql`(${sessions.kind} <> 'cookie' OR ${sessions.lastUsedAt} > now() - interval '31 minutes')`
  )
  const find = db.select({
    sessionId: sessions.id,
    id: users.id,
    username: users.username,
    wasQuiet: sql<boolean>`${sessions.lastUsedAt} < now() - interval '1 minute'`
  }).from(sessions).innerJoin(users, eq(users.id, sessions.userId))
    .where(and(sql`${sessions.id} = ANY(${sql.placeholder('ids')})`, isAlive))
    .prepare('sessions')

  /** All requests that arrive in one turn of the event loop ask together. Nothing is remembered. */
  const loader = new DataLoader(async (ids: readonly number[]) => {
    const found = await find.execute({ ids })
    const quiet = found.filter(({ wasQuiet }) => wasQuiet).map(({ sessionId }) => sessionId)
    if (quiet.length > 0) await touch(quiet)
    const byId = new Map(found.map(({ sessionId, id, username }) => [sessionId, { sessionId, id, username }]))
    return ids.map(id => byId.get(id))
  }, { cache: false, batchScheduleFn: callback => { setImmediate(callback) } })

  /** Two instances may touch the same sessions at once: whichever row the other one holds, it touches. */
  async function touch (ids: number[]) {
    await db.execute(sql`UPDATE sessions SET last_used_at = now() WHERE id IN
      (SELECT id FROM sessions WHERE id = ANY(${sql.param(ids)}) FOR NO KEY UPDATE SKIP LOCKED)`)
  }

  return {
    async open (session: { userId: number, kind: SessionKind, userAgent: string | undefined, ip: string }): Promise<number> {
      const [row] = await db.insert(sessions).values({
        ...session, userAgent: session.userAgent?.slice(0, 500), expiresAt: sql`now() + make_interval(secs => ${LIFETIME[session.kind]})`
      }).returning({ id: sessions.id })
      await db.update(users).set({ lastLoginAt: sql`now()` }).where(eq(users.id, session.userId))
      return row!.id
    },

    /** Whose session this is; undefined when there is none, or none any more. */
    userOf: (sessionId: number) => loader.load(sessionId),

    async end (sessionId: number) {
      await db.update(sessions).set({ revokedAt: sql`now()` }).where(and(eq(sessions.id, sessionId), isNull(sessions.revokedAt)))
    }
  }
}
