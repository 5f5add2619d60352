import { and, eq, ne, notExists, sql } from 'drizzle-orm'
import { alias } from 'drizzle-orm/pg-core'
import type { Db } from '../db/client.ts'
import { identities, users } from '../db/tables.ts'

export type IdentityStore = ReturnType<typeof createIdentityStore>

/** Somebody's addresses on WhatsApp: a user id, a phone number, or both. */
interface Address { userId: string | undefined, phone: string | undefined }

/** A contact, identified by WhatsApp, with at least one address. */
export interface WhatsAppContact extends Address { name: string | undefined }

const channel = 'whatsapp'

/**
 * Finds the users behind WhatsApp's contacts. The user id decides, because a phone number may be given to somebody else
 * later. The number decides only for a contact without a user id. If a contact was known by its number alone, and the
 * number arrives together with a user id for the first time, both belong to the same user from then on. A number whose user
 * already has another user id proves nothing any more.
 */
export function createIdentityStore (db: Pick<Db, 'select' | 'insert' | 'update' | 'execute' | 'transaction'>) {
  const find = db.select({ userId: identities.userId }).from(identities)
    .where(and(eq(identities.channel, channel), eq(identities.address, sql.placeholder('address'))))
    .prepare('whatsapp_identity')

  /** Adds the user id to the user of the number. */
  async function adopt (phone: string, userId: string) {
    const other = alias(identities, 'other')
    const hasOther = db.select({ one: sql`1` }).from(other).where(and(eq(other.userId, identities.userId), ne(other.address, identities.address)))
    const [adopted] = await db.insert(identities).select(
      db.select({ channel: identities.channel, address: sql<string>`${userId}`.as('address'), userId: identities.userId }).from(identities)
        .where(and(eq(identities.channel, channel), eq(identities.address, phone), notExists(hasOther)))
    ).returning({ userId: identities.userId })
    return adopted?.userId
  }

  async function make (address: string, phone: string | undefined) {
    return await db.transaction(async tx => {
      const [user] = await tx.insert(users).values({ origin: channel, phoneNumber: phone }).returning({ id: users.id })
      await tx.insert(identities).values({ channel, address, userId: user!.id })
      return user!.id
    })
  }

  return {
    /**
     * Returns the user behind a contact. Creates one, with the name of the contact's profile, if there is none. Only one
     * transaction at a time may do this for a contact: if two create the same user at once, the second one fails.
     */
    async identify ({ userId, phone, name }: WhatsAppContact): Promise<number> {
      const address = userId ?? phone!
      const [known] = await find.execute({ address })
      const id = known?.userId ??
        (userId !== undefined && phone !== undefined ? await adopt(phone, userId) : undefined) ??
        await make(address, phone)
      if (name !== undefined) await db.update(users).set({ name }).where(and(eq(users.id, id), sql`${users.name} IS DISTINCT FROM ${name}`))
      return id
    },

    /** Adds a contact's new address to its user, when WhatsApp reports a change. An address that belongs to another user is not taken from them. */
    async move (from: Address, to: Address): Promise<void> {
      const addresses = [from.userId, from.phone].filter(address => address !== undefined)
      const [known] = (await Promise.all(addresses.map(address => find.execute({ address })))).flat()
      const address = to.userId ?? to.phone
      if (known === undefined || address === undefined) return
      await db.insert(identities).values({ channel, address, userId: known.userId }).onConflictDoNothing()
    }
  }
}
