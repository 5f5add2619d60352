import { and, eq, sql } from 'drizzle-orm'
import { violates, type Db, type Transaction } from '../db/client.js'
import { identities, users } from '../db/tables.js'
import { INVALID_TOKEN, USERNAME_TAKEN } from '../errors.js'
import { askToVerify } from './recovery-store.js'
import type { NewAccount } from './schema.js'
import { endSessionsOf, type Sessions } from './sessions.js'

export type AccountStore = ReturnType<typeof createAccountStore>

export function createAccountStore (db: Db, sessions: Pick<Sessions, 'announce'>) {
  const findIdentity = db.select({ userId: identities.userId }).from(identities)
    .where(and(eq(identities.channel, sql.placeholder('channel')), eq(identities.address, sql.placeholder('address'))))
    .prepare('identity')

  return {
    /** An address that comes along gets a mail. @throws USERNAME_TAKEN, whatever the case */
    async create (account: Omit<NewAccount, 'password'>, passwordHash: string) {
      return await unlessTaken(db.transaction(async tx => {
        const [user] = await tx.insert(users).values({ ...rowOf(account), passwordHash }).returning({ id: users.id })
        if (account.email !== undefined) await askToVerify(tx, user!.id, account.email)
        return { id: user!.id, username: account.username }
      }))
    },

    /** The account of this username, with what a login needs to know. */
    async findByUsername (username: string) {
      const [user] = await db.select({ id: users.id, username: users.username, passwordHash: users.passwordHash })
        .from(users).where(eq(users.usernameKey, keyOf(username)))
      return user
    },

    /** A guest, a user with nothing but what he says, together with what `begin` makes for him, or nothing of both. */
    async createGuest<T> (begin: (guestId: number, tx: Transaction) => Promise<T>): Promise<T> {
      return await db.transaction(async tx => {
        const [guest] = await tx.insert(users).values({ isGuest: true, origin: 'api' }).returning({ id: users.id })
        return await begin(guest!.id, tx)
      })
    },

    /**
     * Makes an account of a guest: the same row, with all that is the guest's, whose sessions end.
     * @throws USERNAME_TAKEN; INVALID_TOKEN when the guest has become an account meanwhile
     */
    async promote (guestId: number, account: Omit<NewAccount, 'password'>, passwordHash: string) {
      const ended = await unlessTaken(db.transaction(async tx => {
        const promoted = await tx.update(users).set({ ...rowOf(account), passwordHash, isGuest: false })
          .where(and(eq(users.id, guestId), users.isGuest)).returning({ id: users.id })
        if (promoted.length === 0) throw new INVALID_TOKEN()
        if (account.email !== undefined) await askToVerify(tx, guestId, account.email)
        return await endSessionsOf(guestId, tx)
      }))
      await sessions.announce(ended)
      return { id: guestId, username: account.username }
    },

    /** The user who stands behind an address of a channel; made when it is seen for the first time. */
    async identify (channel: 'phone', address: string): Promise<number> {
      const known = await findIdentity.execute({ channel, address })
      if (known[0] !== undefined) return known[0].userId
      try {
        return await db.transaction(async tx => {
          const [user] = await tx.insert(users).values({ origin: channel, phoneNumber: address }).returning({ id: users.id })
          await tx.insert(identities).values({ channel, address, userId: user!.id })
          return user!.id
        })
      } catch (error) {
        if (violates(error, 'identities_channel_address_pk')) return await this.identify(channel, address)
        throw error
      }
    }
  }
}

function rowOf ({ username, name, email }: Omit<NewAccount, 'password'>) {
  return { username, usernameKey: keyOf(username), name, email }
}

/** @throws USERNAME_TAKEN */
export async function unlessTaken<T> (change: Promise<T>): Promise<T> {
  try {
    return await change
  } catch (error) {
    if (violates(error, 'users_username_key')) throw new USERNAME_TAKEN()
    throw error
  }
}

/** A username as it is compared: however its characters were composed, whatever their case. */
export function keyOf (username: string) {
  return username.normalize('NFKC').toLowerCase()
}
