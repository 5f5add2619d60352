import { and, eq, sql } from 'drizzle-orm'
import type { Db } from '../db/client.js'
import { identities, users } from '../db/tables.js'

export type IdentityStore = ReturnType<typeof createIdentityStore>

/** A contact that WhatsApp vouches for: by its user id, its phone number, or both, of which there is one at least. */
export interface WhatsAppContact { userId: string | undefined, phone: string | undefined, name: string | undefined }

const channel = 'whatsapp'

/**
 * The users who stand behind WhatsApp's contacts. The user id decides, and the number only where there is none: a number
 * may go to somebody else. Who was known by the number alone keeps its user when the user id comes along with it for
 * the first time; a number whose user has got a user id already is no proof any more.
 */
export function createIdentityStore (db: Db) {
  const find = db.select({ userId: identities.userId }).from(identities)
    .where(and(eq(identities.channel, channel), eq(identities.address, sql.placeholder('address'))))
    .prepare('whatsapp_identity')

  /** Gives the user of the number the user id as well. */
  async function adopt (phone: string, userId: string) {
    const { rows: [adopted] } = await db.execute<{ user_id: number }>(sql`
      INSERT INTO identities (channel, address, user_id)
      SELECT ${channel}, ${userId}, i.user_id FROM identities i
      WHERE i.channel = ${channel} AND i.address = ${phone} AND NOT EXISTS
        (SELECT FROM identities other WHERE other.user_id = i.user_id AND other.address <> i.address)
      RETURNING user_id`)
    return adopted?.user_id
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
    }
  }
}
