import { and, eq, isNull } from 'drizzle-orm'
import { unlessTaken, type Db, type Transaction } from '../db/client.ts'
import { users } from '../db/tables.ts'
import { INVALID_TOKEN, USERNAME_TAKEN } from '../errors.ts'
import { keyOf } from '../text/username.ts'
import { mailboxOf } from './address.ts'
import { askToVerify } from './recovery-store.ts'
import type { NewAccount } from './schema.ts'
import { endSessionsOf, type Sessions } from './sessions.ts'
import { isNamed, mustBeFree, typedFirst } from './username-store.ts'

export type AccountStore = ReturnType<typeof createAccountStore>

/** Runs in the transaction that creates an account. If it throws, the account is not created. */
export type Within = (tx: Transaction, userId: number) => Promise<void>

type Account = Omit<NewAccount, 'password' | 'invitation'>

export function createAccountStore (db: Db, sessions: Pick<Sessions, 'announce'>) {
  return {
    /** Creates an account. If it has an e-mail address, a mail asks to confirm it. @throws USERNAME_TAKEN, also if only the case differs */
    async create (account: Account, passwordHash: string, within?: Within) {
      return await unlessTaken(db.transaction(async tx => {
        await mustBeFree(tx, account.username)
        const [user] = await tx.insert(users).values({ ...rowOf(account), passwordHash }).returning({ id: users.id })
        await within?.(tx, user!.id)
        if (account.email !== undefined) await askToVerify(tx, user!.id, mailboxOf(account.email))
        return { id: user!.id, username: account.username }
      }), 'users_username_key', USERNAME_TAKEN)
    },

    /** The account with this username, with what a login checks. */
    async findByUsername (username: string) {
      const [user] = await db.select({ id: users.id, username: users.username, passwordHash: users.passwordHash, lockedAt: users.lockedAt })
        .from(users).where(isNamed(username)).orderBy(typedFirst(username)).limit(1)
      return user
    },

    /** Creates a guest for the API key with this hash, and calls `begin` in the same transaction. */
    async createGuest<T> (apiKeyHash: string, begin: (guestId: number, tx: Transaction) => Promise<T>): Promise<T> {
      return await db.transaction(async tx => {
        const [guest] = await tx.insert(users).values({ isGuest: true, origin: 'api', apiKeyHash }).returning({ id: users.id })
        return await begin(guest!.id, tx)
      })
    },

    /**
     * Turns a guest into an account. It is the same row, so the guest's conversations stay. The guest's sessions end.
     * @throws USERNAME_TAKEN; INVALID_TOKEN when the guest has become an account or was locked meanwhile
     */
    async promote (guestId: number, account: Account, passwordHash: string, within?: Within) {
      const ended = await unlessTaken(db.transaction(async tx => {
        await mustBeFree(tx, account.username)
        const promoted = await tx.update(users).set({ ...rowOf(account), passwordHash, isGuest: false, apiKeyHash: null })
          .where(and(eq(users.id, guestId), users.isGuest, isNull(users.lockedAt))).returning({ id: users.id })
        if (promoted.length === 0) throw new INVALID_TOKEN()
        await within?.(tx, guestId)
        if (account.email !== undefined) await askToVerify(tx, guestId, mailboxOf(account.email))
        return await endSessionsOf([guestId], tx)
      }), 'users_username_key', USERNAME_TAKEN)
      await sessions.announce(ended)
      return { id: guestId, username: account.username }
    }
  }
}

function rowOf ({ username, name, email }: Account) {
  return { username, usernameKey: keyOf(username), name, email: email && mailboxOf(email) }
}
