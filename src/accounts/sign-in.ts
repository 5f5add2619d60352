import { INVALID_CREDENTIALS } from '../errors.js'
import type { Passwords } from './passwords.js'
import type { NewAccount } from './schema.js'
import type { AccountStore } from './store.js'

export type SignIn = ReturnType<typeof createSignIn>

/** What all ways in have in common, whatever their words. */
export function createSignIn (accounts: AccountStore, passwords: Passwords) {
  return {
    /**
     * Makes an account, of the guest's own row where there is a guest.
     * @throws INVALID_PASSWORD, USERNAME_TAKEN
     */
    async signUp ({ password, ...account }: NewAccount, guestId?: number) {
      const hash = await passwords.hash(password)
      return guestId === undefined ? await accounts.create(account, hash) : await accounts.promote(guestId, account, hash)
    },

    /**
     * Gives the user, and the hash that the password was proved against.
     * @throws INVALID_CREDENTIALS, the same in words and work for an unknown user
     */
    async logIn (username: string, password: string) {
      const user = await accounts.findByUsername(username)
      if (!await passwords.verify(password, user?.passwordHash)) throw new INVALID_CREDENTIALS()
      const { id, username: name, passwordHash } = user!
      return { user: { id, username: name! }, provedHash: passwordHash! }
    }
  }
}
