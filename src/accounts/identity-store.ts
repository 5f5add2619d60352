import { and, eq, ne, notExists, sql } from 'drizzle-orm'
import { alias } from 'drizzle-orm/pg-core'
import type { Db } from '../db/client.ts'
import { identities, users } from '../db/tables.ts'

export type IdentityStore = ReturnType<typeof createIdentityStore>

/** Where WhatsApp reaches somebody: by a user id, a phone number, or both. */
interface Address { userId: string | undefined, phone: string | undefined }

/** A contact that WhatsApp vouches for, with one address at least. */
export interface WhatsAppContact extends Address { name: string | undefined }

const channel = 'whatsapp'

/**
 * The users who stand behind WhatsApp's contacts. The user id decides, and the number only where there is none: a number
 * may go to somebody else. Who was known by the number alone keeps its user when the user id comes along with it for
 * the first time; a number whose user has got a user id already is no proof any more.
 */
export function createIdentityStore (db: Pick<Db, 'select' | 'insert' | 'update' | 'execute' | 'transaction'>) {
  const find = db.select({ userId: identities.userId }).from(identities)
    .where(and(eq(identities.channel, channel), eq(identities.address, sql.placeholder('address'))))
    .prepare('whatsapp_identity')

  /** Gives the user of the number the user id as well. */
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
     * The user behind a contact, made when it is seen for the first time, by the name that its profile has now. To be
     * asked for one contact by one at a time: of two who would make the same, the second fails.
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

    /** Lets the user of a contact be known by a new address, too, as WhatsApp tells of it; an address that is somebody's stays so. */
    async move (from: Address, to: Address): Promise<void> {
      const addresses = [from.userId, from.phone].filter(address => address !== undefined)
      const [known] = (await Promise.all(addresses.map(address => find.execute({ address })))).flat()
      const address = to.userId ?? to.phone
      if (known === undefined || address === undefined) return
      await db.insert(identities).values({ channel, address, userId: known.userId }).onConflictDoNothing()
    }
  }
}
