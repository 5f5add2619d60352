import { and, desc, eq, inArray, isNull, lt, sql } from 'drizzle-orm'
import type { Db } from '../../db/client.ts'
import type { Listener } from '../../db/listener.ts'
import { externalUsers, serverKeys, sessions, users } from '../../db/tables.ts'
import { ACCOUNT_LOCKED, KEY_NOT_FOUND, MISSING_SCOPE, UNAUTHORIZED, USER_NOT_FOUND } from '../../errors.ts'
import { cutPage } from '../../http/paging.ts'
import { logAction, type Admin, type AdminAction } from '../admin-log-store.ts'
import { isAlive, isUsable, type Sessions } from '../sessions.ts'
import { createWatch } from '../session-watch.ts'
import { hashOf, makeKey } from './key.ts'
import type { KeyScope } from '../../enums.ts'
import type { NewKey } from './schema.ts'

export type KeyStore = ReturnType<typeof createKeyStore>
/** A key that may be used. `hash` is its SHA-256, in hexadecimal. */
export interface ServerKey { id: number, name: string, scopes: KeyScope[], hash: string, expiresAt: Date | null }

/** A request in which a server acts for a user. `scope` is enough for it, beside `act`. */
export interface Acting { externalId: unknown, method: string, route: string, ip: string, scope?: KeyScope | undefined }

/** Users of server keys have no issuer. This value is stored in its place. */
export const NO_ISSUER = ''

export const isServerKey = (token: string | undefined): token is string => token?.startsWith('pk_') ?? false

/** The key as the log of admin actions names it. */
export const asAdmin = ({ id, name }: Pick<ServerKey, 'id' | 'name'>): Admin => ({ id: 0, username: name, key: id })

/** Keys of servers. */
export function createKeyStore (db: Db, { announce, open }: Pick<Sessions, 'announce' | 'open'>, listener: Pick<Listener, 'publish' | 'subscribe'>) {
  const shown = {
    id: serverKeys.id,
    name: serverKeys.name,
    scopes: serverKeys.scopes,
    created_by: serverKeys.createdBy,
    created_at: serverKeys.createdAt,
    expires_at: serverKeys.expiresAt,
    last_used_at: serverKeys.lastUsedAt,
    revoked_at: serverKeys.revokedAt
  }
  const findKey = db.select({
    id: serverKeys.id,
    name: serverKeys.name,
    scopes: serverKeys.scopes,
    hash: serverKeys.keyHash,
    expiresAt: serverKeys.expiresAt,
    wasQuiet: sql<boolean>`${serverKeys.lastUsedAt} IS NULL OR ${serverKeys.lastUsedAt} < now() - interval '1 minute'`
  }).from(serverKeys).where(and(eq(serverKeys.keyHash, sql.placeholder('hash')), isUsable)).prepare('server_key')
  const ends = createWatch('server_keys', listener, async ids => (await db.select({ id: serverKeys.id }).from(serverKeys).where(and(inArray(serverKeys.id, ids), isUsable))).map(({ id }) => id))
  /** Lookups of sessions in progress. Requests that arrive meanwhile wait for the same lookup, so that many first requests open only one session. */
  const lookups = new Map<string, ReturnType<typeof lookUp>>()

  /** Finds or opens the session in which a key acts for a user. @throws USER_NOT_FOUND, ACCOUNT_LOCKED */
  async function lookUp (key: ServerKey, externalId: string, ip: string) {
    const [user] = await db.select({ id: users.id, lockedAt: users.lockedAt, sessionId: sessions.id }).from(externalUsers)
      .innerJoin(users, eq(users.id, externalUsers.userId))
      .leftJoin(sessions, and(eq(sessions.userId, users.id), eq(sessions.serverKeyId, key.id), eq(sessions.kind, 'server_key'), isAlive))
      .where(and(eq(externalUsers.issuer, NO_ISSUER), eq(externalUsers.subject, externalId))).limit(1)
    if (user === undefined) throw new USER_NOT_FOUND()
    if (user.lockedAt !== null) throw new ACCOUNT_LOCKED()
    return { userId: user.id, sessionId: user.sessionId ?? await open({ userId: user.id, kind: 'server_key', userAgent: key.name, ip, serverKeyId: key.id }) }
  }

  async function sessionFor (key: ServerKey, externalId: string, ip: string) {
    const both = `${key.id} ${externalId}`
    const found = lookups.get(both) ?? lookUp(key, externalId, ip).finally(() => lookups.delete(both))
    lookups.set(both, found)
    return await found
  }

  return {
    /** Calls `end` when a key was revoked or has expired. Returns a function that stops watching. */
    watch: ends.watch,

    /** Creates a key. The returned key is stored nowhere. */
    async create (admin: Admin, { name, scopes, expiresAt }: Pick<NewKey, 'name' | 'scopes'> & { expiresAt?: Date | undefined }) {
      const { key, hash: keyHash } = makeKey('pk_')
      return await db.transaction(async tx => {
        const [row] = await tx.insert(serverKeys)
          .values({ name, scopes, keyHash, createdBy: admin.id, expiresAt }).returning(shown)
        await logAction(tx, admin, 'key.create', { details: { key: row!.id, scopes } })
        return { ...row!, key }
      })
    },

    /** A page of all keys, newest first. */
    async list ({ limit, before = Number.MAX_SAFE_INTEGER }: { limit: number, before?: number }) {
      return cutPage(await db.select(shown).from(serverKeys).where(lt(serverKeys.id, before)).orderBy(desc(serverKeys.id)).limit(limit + 1), limit)
    },

    /** Revokes a key, which ends all sessions that were begun with it. @throws KEY_NOT_FOUND */
    async revoke (admin: Admin, id: number) {
      await announce(await db.transaction(async tx => {
        const begun = await tx.select({ id: sessions.id }).from(sessions).where(and(eq(sessions.serverKeyId, id), isAlive))
        const [row] = await tx.update(serverKeys).set({ revokedAt: sql`now()` }).where(and(eq(serverKeys.id, id), isNull(serverKeys.revokedAt))).returning({ id: serverKeys.id })
        if (row === undefined) throw new KEY_NOT_FOUND()
        await logAction(tx, admin, 'key.revoke', { details: { key: id } })
        return begun.map(({ id }) => id)
      }))
      await ends.announce([id])
    },

    /** The key; undefined if it is unknown, revoked or expired. Its use is noted, at most once a minute. */
    async find (token: string): Promise<ServerKey | undefined> {
      const [found] = await findKey.execute({ hash: hashOf(token) })
      if (found?.wasQuiet) await db.update(serverKeys).set({ lastUsedAt: sql`now()` }).where(eq(serverKeys.id, found.id))
      return found
    },

    /** The key, which has one of these scopes. @throws UNAUTHORIZED if it is unknown, revoked or expired; MISSING_SCOPE */
    async use (token: string, ...scopes: KeyScope[]): Promise<ServerKey> {
      const found = await this.find(token)
      if (found === undefined) throw Object.assign(new UNAUTHORIZED(), { message: 'This key does not exist, was revoked or has expired' })
      if (!scopes.some(scope => found.scopes.includes(scope))) throw new MISSING_SCOPE()
      return found
    },

    /**
     * The session in which a key acts for a user. A request that may change something is logged before it is carried out.
     * @throws UNAUTHORIZED, MISSING_SCOPE, USER_NOT_FOUND, ACCOUNT_LOCKED
     */
    async actFor (token: string, { externalId, method, route, ip, scope }: Acting): Promise<number> {
      if (typeof externalId !== 'string') throw Object.assign(new UNAUTHORIZED(), { message: 'A server key must name a user in the header X-Act-As here' })
      const isRead = ['GET', 'HEAD'].includes(method)
      const key = await this.use(token, 'act', ...isRead ? ['read' as const] : [], ...scope === undefined ? [] : [scope])
      const { userId, sessionId } = await sessionFor(key, externalId, ip)
      if (!isRead) await this.log(key, 'key.act', userId, { method, route })
      return sessionId
    },

    /** Records what a key does to a user. */
    async log (key: ServerKey, action: AdminAction, userId: number, details?: Record<string, unknown>) {
      await logAction(db, asAdmin(key), action, { userId, ...details && { details } })
    }
  }
}
