import { and, desc, eq, inArray, isNull, lt, sql, type SQL } from 'drizzle-orm'
import type { Db, Transaction } from '../db/client.ts'
import { createCoalescer } from '../db/batch.ts'
import type { Listener } from '../db/listener.ts'
import { prepareQuery, value } from '../db/prepared.ts'
import { serverKeys, sessions, users } from '../db/tables.ts'
import { ACCOUNT_LOCKED, INVALID_CREDENTIALS, USER_NOT_FOUND } from '../errors.ts'
import { cutPage } from '../http/paging.ts'
import { createWatch } from './session-watch.ts'

const HOUR_SECONDS = 60 * 60
/** How long a session lasts at most, in seconds. One in a cookie also ends 30 minutes after its last use. */
export const SESSION_LIFETIME_SECONDS = {
  cookie: 7 * 24 * HOUR_SECONDS,
  access_token: 24 * HOUR_SECONDS,
  guest: 24 * HOUR_SECONDS,
  server_key: 24 * HOUR_SECONDS,
  personal_key: 365 * 24 * HOUR_SECONDS
}

/** The kinds that we begin ourselves. How long the sessions of other issuers last, their tokens say. */
export type SessionKind = keyof typeof SESSION_LIFETIME_SECONDS
export interface NewSession extends SessionOptions { userId: number, kind: SessionKind, userAgent: string | undefined, ip: string }

/** `provedHash`: the hash that the password was proved against. `seconds`: the lifetime, if not the usual one. `serverKeyId`: the server key that begins it. */
export interface SessionOptions { provedHash?: string | undefined, seconds?: number, serverKeyId?: number }
export type Sessions = ReturnType<typeof createSessions>
export type SessionUser = NonNullable<Awaited<ReturnType<Sessions['userOf']>>>

/** A session in a cookie ends this long after it was last used. */
const IDLE_MINUTES = 30

/** How often at most the use of a session is noted: so much longer than `IDLE_MINUTES` a session may last. */
const NOTED_EVERY_MINUTES = 1

/** Whether a server key may be used. */
export const isUsable = and(isNull(serverKeys.revokedAt), sql`(${serverKeys.expiresAt} IS NULL OR ${serverKeys.expiresAt} > now())`)

const minutesAgo = (minutes: number) => sql.raw(`now() - interval '${minutes} minutes'`)

/** Of the session of a server key, the key must be usable too: revoking a key ends everything that was begun with it, whenever that was. */
export const isAlive = and(
  isNull(sessions.revokedAt),
  sql`${sessions.expiresAt} > now()`,
  sql`(${sessions.kind} <> 'cookie' OR ${sessions.lastUsedAt} > ${minutesAgo(IDLE_MINUTES + NOTED_EVERY_MINUTES)})`,
  sql`(${sessions.serverKeyId} IS NULL OR EXISTS (SELECT FROM ${serverKeys} WHERE ${serverKeys.id} = ${sessions.serverKeyId} AND ${isUsable}))`
)

async function endWhere (which: SQL | undefined, db: Db | Transaction): Promise<number[]> {
  const ended = await db.update(sessions).set({ revokedAt: sql`now()` }).where(and(which, isAlive)).returning({ id: sessions.id })
  return ended.map(({ id }) => id)
}

/** Ends all sessions of users within a transaction; gives those that are to be announced after it. */
export const endSessionsOf = (userIds: number[], tx: Transaction) => endWhere(inArray(sessions.userId, userIds), tx)

/**
 * Sessions are rows, asked by every request: one that ended is ended, everywhere, at once. What stays open, a socket or
 * a stream, is told by `watch`.
 */
export function createSessions (db: Db, listener: Pick<Listener, 'publish' | 'subscribe'>) {
  const isOneOf = sql`${sessions.id} = ANY(${sql.placeholder('ids')})`
  const find = db.select({
    sessionId: sessions.id,
    kind: sessions.kind,
    id: users.id,
    username: users.username,
    name: users.name,
    hasPassword: sql<boolean>`${users.passwordHash} IS NOT NULL`,
    isGuest: users.isGuest,
    // No server acts as an admin, not even for an admin.
    role: sql<'user' | 'admin'>`CASE WHEN ${sessions.serverKeyId} IS NULL THEN ${users.role} ELSE 'user' END`,
    wasQuiet: sql<boolean>`${sessions.lastUsedAt} < ${minutesAgo(NOTED_EVERY_MINUTES)}`
  }).from(sessions).innerJoin(users, eq(users.id, sessions.userId))
    .where(and(isOneOf, isAlive))
    .prepare('sessions')
  const findByKey = db.select({ id: sessions.id }).from(sessions).where(eq(sessions.keyHash, sql.placeholder('keyHash'))).prepare('session_of_key')
  const findAlive = db.select({ id: sessions.id }).from(sessions).where(and(isOneOf, isAlive)).prepare('sessions_alive')

  /** Requests that come while one question is under way ask together. Nothing is remembered. */
  const findUser = createCoalescer(async (ids: number[]) => {
    const found = await find.execute({ ids })
    const quiet = found.filter(({ wasQuiet }) => wasQuiet).map(({ sessionId }) => sessionId)
    if (quiet.length > 0) await touch(quiet)
    const byId = new Map(found.map(({ wasQuiet, ...user }) => [user.sessionId, user]))
    return ids.map(id => byId.get(id))
  }, { most: 1000 })

  /** Two instances may touch the same sessions at once: whichever row the other one holds, it touches. */
  async function touch (ids: number[]) {
    const untouched = db.select({ id: sessions.id }).from(sessions).where(and(sql`${sessions.id} = ANY(${sql.param(ids)})`, isAlive)).for('no key update', { skipLocked: true })
    await db.update(sessions).set({ lastUsedAt: sql`now()` }).where(inArray(sessions.id, untouched))
  }

  const watch = createWatch('sessions', listener, async ids => (await findAlive.execute({ ids })).map(({ id }) => id))

  return {
    ...watch,

    /**
     * Begins a session. Who came by a password gives the hash that it was proved against.
     * @throws INVALID_CREDENTIALS when that password was changed meanwhile, or the account is locked or gone. Without a
     * password, ACCOUNT_LOCKED or USER_NOT_FOUND
     */
    async open ({ userId, kind, userAgent, ip, provedHash, serverKeyId, seconds = SESSION_LIFETIME_SECONDS[kind] }: NewSession): Promise<number> {
      const { rows: [row] } = await db.$client.query<{ id: number }>(OPEN({ userId, provedHash, kind, userAgent: userAgent?.slice(0, 500), ip, seconds, serverKeyId }))
      if (row !== undefined) return row.id
      if (provedHash !== undefined) throw new INVALID_CREDENTIALS()
      throw await db.$count(users, eq(users.id, userId)) > 0 ? new ACCOUNT_LOCKED() : new USER_NOT_FOUND()
    },

    /** Whose session this is; undefined when there is none, or none any more. */
    userOf: (sessionId: number) => findUser(sessionId),

    /** Whose personal key has this hash; undefined when there is none, or none any more. */
    async userOfKey (keyHash: string) {
      const [row] = await findByKey.execute({ keyHash })
      return row && await findUser(row.id)
    },

    /** A page of the user's sessions that are alive, newest first. */
    async list (userId: number, { limit, before = Number.MAX_SAFE_INTEGER }: { limit: number, before: number | undefined }) {
      const rows = await db.select({
        id: sessions.id,
        kind: sessions.kind,
        user_agent: sessions.userAgent,
        ip: sessions.ip,
        created_at: sessions.createdAt,
        last_used_at: sessions.lastUsedAt,
        expires_at: sessions.expiresAt
      }).from(sessions).where(and(eq(sessions.userId, userId), lt(sessions.id, before), isAlive)).orderBy(desc(sessions.id)).limit(limit + 1)
      return cutPage(rows, limit)
    },

    /** Ends one of the user's sessions; false for one that is not, or has ended, or is not such a one. */
    async end (userId: number, sessionId: number, which?: SQL): Promise<boolean> {
      const ended = await endWhere(and(eq(sessions.userId, userId), eq(sessions.id, sessionId), which), db)
      await watch.announce(ended)
      return ended.length > 0
    }
  }
}

/** The row of the user is locked first: a new password, or an admin who locks the user, either refuses this session, or ends it with all others. */
const OPEN = prepareQuery('open_session', sql`
  WITH entered AS (
    UPDATE ${users} SET last_login_at = now()
    WHERE ${users.id} = ${value('userId')} AND (${value('provedHash')}::text IS NULL OR ${users.passwordHash} = ${value('provedHash')}) AND ${users.lockedAt} IS NULL
    RETURNING ${users.id}
  )
  INSERT INTO sessions (user_id, kind, user_agent, ip, expires_at, server_key_id)
  SELECT id, ${value('kind')}::session_kind, ${value('userAgent')}, ${value('ip')}, now() + make_interval(secs => ${value('seconds')}), ${value('serverKeyId')}::bigint FROM entered
  RETURNING id`)
