import { and, eq, sql } from 'drizzle-orm'
import { violates, type Db } from '../db/client.js'
import { identities, users } from '../db/tables.js'
import { USERNAME_TAKEN } from '../errors.js'
import type { NewAccount } from './schema.js'

export type AccountStore = ReturnType<typeof createAccountStore>

export function createAccountStore (db: Db) {
  const findIdentity = db.select({ userId: identities.userId }).from(identities)
    .where(and(eq(identities.channel, sql.placeholder('channel')), eq(identities.address, sql.placeholder('address'))))
    .prepare('identity')

  return {
    /** @throws USERNAME_TAKEN, whatever the case */
    async create ({ username, name, email }: Omit<NewAccount, 'password'>, passwordHash: string) {
      try {
        const [user] = await db.insert(users)
          .values({ username, usernameKey: keyOf(username), name, email, passwordHash })
          .returning({ id: users.id })
        return { id: user!.id, username }
      } catch (error) {
        if (violates(error, 'users_username_key')) throw new USERNAME_TAKEN()
        throw error
      }
    },

    /** The account of this username, with what a login needs to know. */
    async findByUsername (username: string) {
      const [user] = await db.select({ id: users.id, username: users.username, passwordHash: users.passwordHash })
        .from(users).where(eq(users.usernameKey, keyOf(username)))
      return user
    },

    async profile (userId: number) {
      const [profile] = await db.select({
        id: users.id,
        username: users.username,
        name: users.name,
        email: users.email,
        phone_number: users.phoneNumber,
        is_guest: users.isGuest,
        role: users.role,
        created_at: users.createdAt
      }).from(users).where(eq(users.id, userId))
      return profile!
    },

    /** The user who stands behind an address of a channel; made when it is seen for the first time. */
    async identify (channel: 'phone' | 'whatsapp', address: string): Promise<number> {
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

/** A username as it is compared: however its characters were composed, whatever their case. */
function keyOf (username: string) {
  return username.normalize('NFKC').toLowerCase()
}
