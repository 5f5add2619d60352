import { and, eq, ne, notExists, sql } from 'drizzle-orm'
import { alias } from 'drizzle-orm/pg-core'
import { createCoalescer } from '../db/batch.ts'
import { violates, type Db, type Transaction } from '../db/client.ts'
import { identities, users } from '../db/tables.ts'
import type { ContactOrigin } from '../enums.ts'

export type IdentityStore = ReturnType<typeof createIdentityStore>

/** What is stored about somebody without an account. A name that is undefined stays as it is. */
export interface Person { phone: string | undefined, name?: string | undefined }

/** The users of a channel without accounts, which knows people only by their addresses. */
export function createIdentityStore (db: Pick<Db, 'select' | 'update' | 'insert' | 'delete' | 'transaction'>, channel: ContactOrigin) {
  const select = db.select({ address: identities.address, userId: identities.userId }).from(identities)
    .where(and(eq(identities.channel, channel), sql`${identities.address} = ANY(${sql.placeholder('addresses')})`))
    .prepare(`${channel}_identities`)
  const userOf = createCoalescer(async (addresses: string[]) => {
    const userIds = new Map((await select.execute({ addresses })).map(({ address, userId }) => [address, userId]))
    return addresses.map(address => userIds.get(address))
  }, { most: 1000 })

  /** The user of the first of these addresses that is known. Creates and changes nothing. */
  async function find (addresses: string[]): Promise<number | undefined> {
    return (await Promise.all(addresses.map(userOf))).find(userId => userId !== undefined)
  }

  /**
   * Gives a second address to a user who has only one. A user who has several already gets none, because one matching address
   * does not prove that it is the same user. An advisory lock makes others who give this user an address at the same moment wait.
   * A lock on the user's row could deadlock: it must come after the locks of conversations, which the caller may take later.
   */
  async function adopt (tx: Transaction, address: string, userId: number): Promise<number | undefined> {
    await tx.execute(sql`SELECT pg_advisory_xact_lock(hashtextextended('identities of ' || ${userId}::bigint, 0))`)
    const further = alias(identities, 'further')
    const hasFurther = tx.select({ one: sql`1` }).from(further).where(and(eq(further.userId, identities.userId), ne(further.address, identities.address)))
    const [adopted] = await tx.insert(identities).select(
      tx.select({ channel: identities.channel, address: sql<string>`${address}`.as('address'), userId: identities.userId }).from(identities)
        .where(and(eq(identities.userId, userId), notExists(hasFurther)))
    ).returning({ userId: identities.userId })
    return adopted?.userId
  }

  async function make (tx: Transaction, address: string, phone: string | undefined): Promise<number> {
    const [user] = await tx.insert(users).values({ origin: channel, phoneNumber: phone }).returning({ id: users.id })
    await tx.insert(identities).values({ channel, address, userId: user!.id })
    return user!.id
  }

  async function findOrMake (address: string, others: string[], phone: string | undefined): Promise<number> {
    const known = await find([address])
    if (known !== undefined) return known
    const other = await find(others)
    try {
      return await db.transaction(async tx =>
        (other === undefined ? undefined : await adopt(tx, address, other)) ?? await make(tx, address, phone))
    } catch (error) {
      // Another request has stored this address at the same moment, so it is found now.
      if (violates(error, 'identities_channel_address_pk')) return await findOrMake(address, others, phone)
      throw error
    }
  }

  return {
    find,

    /**
     * Returns the user behind an address, and creates one if there is none. The first address decides. The others are
     * those by which the same person may be known already. If the first of them that is known leads to a user who has no
     * further address, that user gets the first address too.
     */
    async identify ([address, ...others]: [string, ...string[]], { phone, name }: Person): Promise<number> {
      const id = await findOrMake(address, others, phone)
      if (name !== undefined) await db.update(users).set({ name }).where(and(eq(users.id, id), sql`${users.name} IS DISTINCT FROM ${name}`))
      return id
    },

    /**
     * Adds an address to the user of the first of these addresses that is known. One that belongs to another user is not taken from
     * them. If the user has it now, `left` is not theirs any more, because it may be given to somebody else.
     */
    async move (from: string[], to: string, left: string | undefined): Promise<void> {
      const userId = await find(from)
      if (userId === undefined) return
      await db.insert(identities).values({ channel, address: to, userId }).onConflictDoNothing()
      if (left !== undefined && await find([to]) === userId) {
        await db.delete(identities).where(and(eq(identities.channel, channel), eq(identities.address, left), eq(identities.userId, userId)))
      }
    }
  }
}
