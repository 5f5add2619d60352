import { createHash } from 'node:crypto'
import { and, desc, eq, gt, isNotNull, isNull, ne, sql, type SQL } from 'drizzle-orm'
import type { PgColumn } from 'drizzle-orm/pg-core'
import { unlessTaken, type Db, type Transaction } from '../db/client.ts'
import { addJob } from '../db/jobs.ts'
import { oneTimeTokens, users } from '../db/tables.ts'
import { EMAIL_TAKEN, INVALID_LINK, NOTHING_TO_VERIFY, TOO_MANY_REQUESTS } from '../errors.ts'
import { mailboxOf } from './address.ts'
import { endSessionsOf } from './sessions.ts'

export type RecoveryStore = ReturnType<typeof createRecoveryStore>
export type Token = Pick<typeof oneTimeTokens.$inferSelect, 'id' | 'purpose' | 'address' | 'expiresAt'> & { userId: number }
export type Purpose = Token['purpose']

/** How long a link is valid, in seconds. */
const LINK_LIFETIME_SECONDS: Record<Purpose, number> = { password_reset: 60 * 60, email_verification: 24 * 60 * 60 }

/**
 * How many mails of one kind an account may cause in an hour, and how many an address may get in an hour from all accounts.
 * Each kind is counted separately, so that confirmation mails to somebody's address do not use up their password resets.
 */
const MAX_MAILS_PER_HOUR = 5

const isOpen = and(isNull(oneTimeTokens.usedAt), gt(oneTimeTokens.expiresAt, sql`now()`))

/** Whether an account has this address, in any case. */
const hasAddress = (address: string) => sql`lower(${users.email}) = lower(${address})`
const isVerified = isNotNull(users.emailVerifiedAt)

/** Users of another issuer have no password, and must not get one: their issuer alone lets them in. */
const hasPassword = isNotNull(users.passwordHash)

/**
 * Creates a token to confirm this address, and schedules the mail with it, in the caller's transaction, which has locked the
 * user's row. If the address has already got five mails in this hour, no mail is sent, but the caller's change is still
 * made. Otherwise an attacker who uses up the mails of a stranger's address could keep the stranger from signing up.
 * @throws TOO_MANY_REQUESTS when the account itself has caused five mails in this hour
 */
export async function askToVerify (tx: Transaction, userId: number, address: string): Promise<void> {
  const { byAccount, byAddress } = await secondsToWait(tx, 'email_verification', userId, address)
  if (byAccount > 0) throw tooMany(byAccount)
  if (byAddress === 0) await issue(tx, 'email_verification', userId, address)
}

/** Invalidates the links in mails that were sent to another address than the user has now. */
export async function endLinksToOtherAddresses (tx: Transaction, userId: number, address: string | null): Promise<void> {
  await tx.update(oneTimeTokens).set({ usedAt: sql`now()` }).where(and(
    eq(oneTimeTokens.userId, userId), isNull(oneTimeTokens.usedAt),
    address === null ? undefined : ne(sql`lower(${oneTimeTokens.address})`, sql`lower(${address})`)))
}

/** The key of the job that looks up the account for a forgotten password. */
export const forgotKey = (address: string) => `forgot ${createHash('sha256').update(address.toLowerCase()).digest('hex')}`

async function issue (tx: Transaction, purpose: Purpose, userId: number, address: string) {
  const [row] = await tx.insert(oneTimeTokens)
    .values({ purpose, userId, address, expiresAt: sql`now() + make_interval(secs => ${LINK_LIFETIME_SECONDS[purpose]})` })
    .returning({ id: oneTimeTokens.id })
  await addJob(tx, 'send-mail', { token: row!.id })
}

/**
 * Returns the seconds until the account may cause, and the address may get, one more mail; 0 for now. Requests at the same
 * moment must not all see the same count. So the caller locks the user's row, and this function takes a lock on the address.
 * A transaction locks only one address, and always after the user, so that no deadlock is possible.
 */
async function secondsToWait (tx: Transaction, purpose: Purpose, userId: number, address: string) {
  await tx.execute(sql`SELECT pg_advisory_xact_lock(hashtextextended('mail to ' || lower(${address}), 0))`)
  const since = async (whose: SQL) => {
    const [fifth] = await tx.select({ seconds: sql<number>`ceil(extract(epoch FROM ${oneTimeTokens.createdAt} + interval '1 hour' - now()))::integer` })
      .from(oneTimeTokens)
      .where(and(whose, eq(oneTimeTokens.purpose, purpose), gt(oneTimeTokens.createdAt, sql`now() - interval '1 hour'`)))
      .orderBy(desc(oneTimeTokens.createdAt)).offset(MAX_MAILS_PER_HOUR - 1).limit(1)
    return fifth === undefined ? 0 : Math.max(1, fifth.seconds)
  }
  return {
    byAccount: await since(eq(oneTimeTokens.userId, userId)),
    // Count the hashed addresses of deleted accounts too. Otherwise deleting the account and signing up again would reset the count.
    byAddress: await since(sql`lower(${oneTimeTokens.address}) IN (lower(${address}), ${hashedAddress(sql`${address}`)})`)
  }
}

/** SQL of the hash that replaces an address in the rows of a deleted account. */
export const hashedAddress = (address: SQL | PgColumn) => sql`encode(sha256(convert_to(lower(${address}), 'UTF8')), 'hex')`

function tooMany (seconds: number) {
  return Object.assign(new TOO_MANY_REQUESTS(), { retryAfter: seconds })
}

export function createRecoveryStore (db: Db) {
  return {
    /** Schedules a job that looks up the account, so that the response takes the same time whether or not there is one. */
    async forgot (address: string) {
      const mailbox = mailboxOf(address)
      await addJob(db, 'forgot', { address: mailbox }, { key: forgotKey(mailbox) })
    },

    /** Runs in that job: sends a link to the account that has verified this address, in the spelling that is stored. */
    async beginReset (address: string) {
      await db.transaction(async tx => {
        const [user] = await tx.select({ id: users.id, email: users.email }).from(users)
          .where(and(hasAddress(address), isVerified, hasPassword)).for('no key update')
        if (user === undefined) return
        const { byAccount, byAddress } = await secondsToWait(tx, 'password_reset', user.id, user.email!)
        if (byAccount === 0 && byAddress === 0) await issue(tx, 'password_reset', user.id, user.email!)
      })
    },

    /** Sends the confirmation mail again. @throws NOTHING_TO_VERIFY without an address, or when it is verified; TOO_MANY_REQUESTS */
    async verifyAgain (userId: number) {
      await db.transaction(async tx => {
        const [user] = await tx.select({ email: users.email, verifiedAt: users.emailVerifiedAt }).from(users)
          .where(eq(users.id, userId)).for('no key update')
        if (!user?.email || user.verifiedAt !== null) throw new NOTHING_TO_VERIFY()
        const { byAccount, byAddress } = await secondsToWait(tx, 'email_verification', userId, user.email)
        if (byAccount > 0 || byAddress > 0) throw tooMany(Math.max(byAccount, byAddress))
        await issue(tx, 'email_verification', userId, user.email)
      })
    },

    /**
     * Finds a valid token; undefined when it is used, expired or deleted, or the user has another address now. A token that
     * resets a password is valid only while the address is verified.
     */
    async find (id: number) {
      const [row] = await db.select({
        id: oneTimeTokens.id,
        purpose: oneTimeTokens.purpose,
        userId: users.id,
        address: oneTimeTokens.address,
        expiresAt: oneTimeTokens.expiresAt,
        username: sql<string>`coalesce(${users.username}, ${users.email})`
      }).from(oneTimeTokens).innerJoin(users, eq(users.id, oneTimeTokens.userId))
        .where(and(
          eq(oneTimeTokens.id, id), isOpen, sql`lower(${users.email}) = lower(${oneTimeTokens.address})`,
          sql`(${oneTimeTokens.purpose} <> 'password_reset' OR ${users.emailVerifiedAt} IS NOT NULL)`))
      return row
    },

    /**
     * Sets a new password with a token, which also ends the user's other tokens of this kind and all sessions. The user's
     * row is updated first, so that two tokens at the same moment wait for each other. Returns the sessions that ended.
     * @throws INVALID_LINK when the token was used meanwhile, or the user's verified address has changed
     */
    async resetPassword ({ id, userId, address }: Token, passwordHash: string) {
      return await db.transaction(async tx => {
        const changed = await tx.update(users).set({ passwordHash })
          .where(and(eq(users.id, userId), hasAddress(address), isVerified)).returning({ id: users.id })
        const used = await tx.update(oneTimeTokens).set({ usedAt: sql`now()` })
          .where(and(eq(oneTimeTokens.userId, userId), eq(oneTimeTokens.purpose, 'password_reset'), isOpen))
          .returning({ id: oneTimeTokens.id })
        if (changed.length === 0 || !used.some(token => token.id === id)) throw new INVALID_LINK()
        return await endSessionsOf([userId], tx)
      })
    },

    /**
     * Marks the user's address as verified, with a token.
     * @throws INVALID_LINK when the token was used meanwhile, or the user has another address now; EMAIL_TAKEN
     */
    async verifyEmail ({ id, userId, address }: Token) {
      await unlessTaken(db.transaction(async tx => {
        const verified = await tx.update(users).set({ emailVerifiedAt: sql`now()` })
          .where(and(eq(users.id, userId), hasAddress(address))).returning({ id: users.id })
        const used = await tx.update(oneTimeTokens).set({ usedAt: sql`now()` })
          .where(and(eq(oneTimeTokens.id, id), isOpen)).returning({ id: oneTimeTokens.id })
        if (verified.length === 0 || used.length === 0) throw new INVALID_LINK()
      }), 'users_verified_email', EMAIL_TAKEN)
    }
  }
}
