import { and, desc, eq, inArray, isNull, lt, or, sql, type SQL } from 'drizzle-orm'
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

/** The kinds of sessions that we begin ourselves. A session of another issuer lasts as long as its tokens. */
export type SessionKind = keyof typeof SESSION_LIFETIME_SECONDS
export interface NewSession extends SessionOptions { userId: number, kind: SessionKind, userAgent: string | undefined, ip: string }

/** `provedHash`: the hash that the password was proved against. `seconds`: the lifetime, if not the usual one. `serverKeyId`: the server key that begins it. */
export interface SessionOptions { provedHash?: string | undefined, seconds?: number, serverKeyId?: number }
export type Sessions = ReturnType<typeof createSessions>
export type SessionUser = NonNullable<Awaited<ReturnType<Sessions['userOf']>>>

/** A session in a cookie ends this long after it was last used. */
const IDLE_MINUTES = 30

/** How often at most the use of a session is stored. A session may therefore last this much longer than `IDLE_MINUTES`. */
const NOTED_EVERY_MINUTES = 1

/** Whether a server key may be used. */
export const isUsable = and(isNull(serverKeys.revokedAt), sql`(${serverKeys.expiresAt} IS NULL OR ${serverKeys.expiresAt} > now())`)

const minutesAgo = (minutes: number) => sql.raw(`now() - interval '${minutes} minutes'`)

/** Whether a session is valid. If it was begun with a server key, the key must be usable too: revoking a key ends all of its sessions. */
export const isAlive = and(
  isNull(sessions.revokedAt),
  sql`${sessions.expiresAt} > now()`,
  sql`(${sessions.kind} <> 'cookie' OR ${sessions.lastUsedAt} > ${minutesAgo(IDLE_MINUTES + NOTED_EVERY_MINUTES)})`,
  sql`(${sessions.serverKeyId} IS NULL OR EXISTS (SELECT FROM ${serverKeys} WHERE ${serverKeys.id} = ${sessions.serverKeyId} AND ${isUsable}))`
)

/**
 * Whether a session can be ended. One of an issuer whose newest token has expired can: otherwise the next token, which the issuer may
 * give to the same browser a moment later, would extend it.
 */
const canEnd = or(isAlive, and(eq(sessions.kind, 'issuer'), isNull(sessions.revokedAt)))

async function endWhere (which: SQL | undefined, db: Db | Transaction): Promise<number[]> {
  const ended = await db.update(sessions).set({ revokedAt: sql`now()` }).where(and(which, canEnd)).returning({ id: sessions.id })
  return ended.map(({ id }) => id)
}

/** Ends all sessions of users within a transaction. Returns their ids, which the caller announces after the commit. */
export const endSessionsOf = (userIds: number[], tx: Transaction) => endWhere(inArray(sessions.userId, userIds), tx)

/**
 * Sessions are rows, which every request checks, so a session that ends is invalid on all instances at once. Sockets and
 * streams stay open without further requests; `watch` closes them.
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
    // A server key never has the rights of an admin, even if it acts for one.
    role: sql<'user' | 'admin'>`CASE WHEN ${sessions.serverKeyId} IS NULL THEN ${users.role} ELSE 'user' END`,
    wasQuiet: sql<boolean>`${sessions.lastUsedAt} < ${minutesAgo(NOTED_EVERY_MINUTES)}`
  }).from(sessions).innerJoin(users, eq(users.id, sessions.userId))
    .where(and(isOneOf, isAlive))
    .prepare('sessions')
  const findByKey = db.select({ id: sessions.id }).from(sessions).where(eq(sessions.keyHash, sql.placeholder('keyHash'))).prepare('session_of_key')
  const findAlive = db.select({ id: sessions.id }).from(sessions).where(and(isOneOf, isAlive)).prepare('sessions_alive')

  /** Requests that arrive while a query is running share the next one. Nothing is cached. */
  const findUser = createCoalescer(async (ids: number[]) => {
    const found = await find.execute({ ids })
    const quiet = found.filter(({ wasQuiet }) => wasQuiet).map(({ sessionId }) => sessionId)
    if (quiet.length > 0) await touch(quiet)
    const byId = new Map(found.map(({ wasQuiet, ...user }) => [user.sessionId, user]))
    return ids.map(id => byId.get(id))
  }, { most: 1000 })

  /** Stores that sessions were used. Skips rows that another instance has locked, because it is storing the same. */
  async function touch (ids: number[]) {
    const untouched = db.select({ id: sessions.id }).from(sessions).where(and(sql`${sessions.id} = ANY(${sql.param(ids)})`, isAlive)).for('no key update', { skipLocked: true })
    await db.update(sessions).set({ lastUsedAt: sql`now()` }).where(inArray(sessions.id, untouched))
  }

  const watch = createWatch('sessions', listener, async ids => (await findAlive.execute({ ids })).map(({ id }) => id))

  return {
    ...watch,

    /**
     * Begins a session, and returns its id. After a login with a password, `provedHash` is the hash that the password matched.
     * @throws INVALID_CREDENTIALS when that password was changed meanwhile, or the account is locked or deleted; without
     * `provedHash`, ACCOUNT_LOCKED or USER_NOT_FOUND
     */
    async open ({ userId, kind, userAgent, ip, provedHash, serverKeyId, seconds = SESSION_LIFETIME_SECONDS[kind] }: NewSession): Promise<number> {
      const { rows: [row] } = await db.$client.query<{ id: number }>(OPEN({ userId, provedHash, kind, userAgent: userAgent?.slice(0, 500), ip, seconds, serverKeyId }))
      if (row !== undefined) return row.id
      if (provedHash !== undefined) throw new INVALID_CREDENTIALS()
      throw await db.$count(users, eq(users.id, userId)) > 0 ? new ACCOUNT_LOCKED() : new USER_NOT_FOUND()
    },

    /** The user of a session; undefined when the session does not exist or has ended. */
    userOf: (sessionId: number) => findUser(sessionId),

    /** The user of the personal key with this hash; undefined when the key does not exist, or was revoked or has expired. */
    async userOfKey (keyHash: string) {
      const [row] = await findByKey.execute({ keyHash })
      return row && await findUser(row.id)
    },

    /** A page of the user's valid sessions, newest first. */
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

    /** Ends one of the user's sessions. False if the user has no such session, it has ended already, or `which` excludes it. */
    async end (userId: number, sessionId: number, which?: SQL): Promise<boolean> {
      const ended = await endWhere(and(eq(sessions.userId, userId), eq(sessions.id, sessionId), which), db)
      await watch.announce(ended)
      return ended.length > 0
    }
  }
}

/**
 * Updates the user's row before it inserts the session. If the password is changed or the user is locked at the same moment, either
 * this finds the change and inserts nothing, or the change ends this session together with all others.
 */
const OPEN = prepareQuery('open_session', sql`
  WITH entered AS (
    UPDATE ${users} SET last_login_at = now()
    WHERE ${users.id} = ${value('userId')} AND (${value('provedHash')}::text IS NULL OR ${users.passwordHash} = ${value('provedHash')}) AND ${users.lockedAt} IS NULL
    RETURNING ${users.id}
  )
  INSERT INTO sessions (user_id, kind, user_agent, ip, expires_at, server_key_id)
  SELECT id, ${value('kind')}::session_kind, ${value('userAgent')}, ${value('ip')}, now() + make_interval(secs => ${value('seconds')}), ${value('serverKeyId')}::bigint FROM entered
  RETURNING id`)
