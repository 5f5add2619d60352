import { createHash } from 'node:crypto'
import { and, count, eq, gt, isNotNull, isNull, sql } from 'drizzle-orm'
import { violates, type Db, type Transaction } from '../db/client.js'
import { addJob } from '../db/jobs.js'
import { oneTimeTokens, users } from '../db/tables.js'
import { EMAIL_TAKEN, INVALID_LINK, NOTHING_TO_VERIFY, TOO_MANY_REQUESTS } from '../errors.js'
import { endSessionsOf } from './sessions.js'

export type RecoveryStore = ReturnType<typeof createRecoveryStore>
export type Token = Pick<typeof oneTimeTokens.$inferSelect, 'id' | 'purpose' | 'userId' | 'address' | 'expiresAt'>
export type Purpose = Token['purpose']

/** How long a link is good for, in seconds. */
const LIFETIME: Record<Purpose, number> = { password_reset: 60 * 60, email_verification: 24 * 60 * 60 }

/** So many mails of one kind may somebody get in an hour, whoever asks for them. */
const MAILS_AN_HOUR = 5

const isOpen = and(isNull(oneTimeTokens.usedAt), gt(oneTimeTokens.expiresAt, sql`now()`))

/** An account's address, whatever its case. */
const hasAddress = (address: string) => sql`lower(${users.email}) = lower(${address})`
const isVerified = isNotNull(users.emailVerifiedAt)

/**
 * Makes a token that proves who reads the mail to this address, and adds the mail, both in this transaction, which holds
 * the user's row.
 * @throws TOO_MANY_REQUESTS
 */
export async function askToVerify (tx: Transaction, userId: number, address: string): Promise<void> {
  if (await hasHadEnough(tx, 'email_verification', userId)) throw new TOO_MANY_REQUESTS()
  await issue(tx, 'email_verification', userId, address)
}

async function issue (tx: Transaction, purpose: Purpose, userId: number, address: string) {
  const [row] = await tx.insert(oneTimeTokens)
    .values({ purpose, userId, address, expiresAt: sql`now() + make_interval(secs => ${LIFETIME[purpose]})` })
    .returning({ id: oneTimeTokens.id })
  await addJob(tx, 'send-mail', { token: row!.id })
}

/** To be asked under the lock on the user's row, so that two who ask at once are counted. */
async function hasHadEnough (tx: Transaction, purpose: Purpose, userId: number) {
  const [recent] = await tx.select({ count: count() }).from(oneTimeTokens).where(and(
    eq(oneTimeTokens.userId, userId),
    eq(oneTimeTokens.purpose, purpose),
    gt(oneTimeTokens.createdAt, sql`now() - interval '1 hour'`)
  ))
  return recent!.count >= MAILS_AN_HOUR
}

export function createRecoveryStore (db: Db) {
  return {
    /** Leaves the look-up to a job, so that asking takes the same time for an address that nobody has. */
    async forgot (address: string) {
      const key = createHash('sha256').update(address.toLowerCase()).digest('hex')
      await addJob(db, 'forgot', { address }, { key: `forgot ${key}` })
    },

    /** What that job does: whoever has verified this address gets a link, at the address as the account has it. */
    async beginReset (address: string) {
      await db.transaction(async tx => {
        const [user] = await tx.select({ id: users.id, email: users.email }).from(users)
          .where(and(hasAddress(address), isVerified)).for('no key update')
        if (user === undefined || await hasHadEnough(tx, 'password_reset', user.id)) return
        await issue(tx, 'password_reset', user.id, user.email!)
      })
    },

    /** @throws NOTHING_TO_VERIFY without an address, or when it is verified; TOO_MANY_REQUESTS */
    async verifyAgain (userId: number) {
      await db.transaction(async tx => {
        const [user] = await tx.select({ email: users.email, verifiedAt: users.emailVerifiedAt }).from(users)
          .where(eq(users.id, userId)).for('no key update')
        if (!user?.email || user.verifiedAt !== null) throw new NOTHING_TO_VERIFY()
        await askToVerify(tx, userId, user.email)
      })
    },

    /** What a token stands for; undefined when it is used, expired or gone. */
    async find (id: number) {
      const [row] = await db.select({
        id: oneTimeTokens.id,
        purpose: oneTimeTokens.purpose,
        userId: oneTimeTokens.userId,
        address: oneTimeTokens.address,
        expiresAt: oneTimeTokens.expiresAt,
        username: sql<string>`coalesce(${users.username}, ${users.email})`
      }).from(oneTimeTokens).innerJoin(users, eq(users.id, oneTimeTokens.userId))
        .where(and(eq(oneTimeTokens.id, id), isOpen))
      return row
    },

    /**
     * Redeems a token for a new password; with it go the user's other tokens of this kind, and all sessions. The user's
     * row comes first, so that of two tokens at once one waits for the other. Gives the sessions that ended.
     * @throws INVALID_LINK when it was used meanwhile, or the address is not the user's verified one any more
     */
    async resetPassword ({ id, userId, address }: Token, passwordHash: string) {
      return await db.transaction(async tx => {
        const changed = await tx.update(users).set({ passwordHash })
          .where(and(eq(users.id, userId), hasAddress(address), isVerified)).returning({ id: users.id })
        const used = await tx.update(oneTimeTokens).set({ usedAt: sql`now()` })
          .where(and(eq(oneTimeTokens.userId, userId), eq(oneTimeTokens.purpose, 'password_reset'), isOpen))
          .returning({ id: oneTimeTokens.id })
        if (changed.length === 0 || !used.some(token => token.id === id)) throw new INVALID_LINK()
        return await endSessionsOf(userId, tx)
      })
    },

    /**
     * Redeems a token for the proof that the address is the user's.
     * @throws INVALID_LINK when it was used meanwhile, or the user has another address now; EMAIL_TAKEN
     */
    async verifyEmail ({ id, userId, address }: Token) {
      try {
        await db.transaction(async tx => {
          const verified = await tx.update(users).set({ emailVerifiedAt: sql`now()` })
            .where(and(eq(users.id, userId), hasAddress(address))).returning({ id: users.id })
          const used = await tx.update(oneTimeTokens).set({ usedAt: sql`now()` })
            .where(and(eq(oneTimeTokens.id, id), isOpen)).returning({ id: oneTimeTokens.id })
          if (verified.length === 0 || used.length === 0) throw new INVALID_LINK()
        })
      } catch (error) {
        if (violates(error, 'users_verified_email')) throw new EMAIL_TAKEN()
        throw error
      }
    }
  }
}
