import type { Config } from '../config.ts'
import { ACCOUNT_LOCKED, INVALID_CREDENTIALS, INVITATION_REQUIRED, SIGNUP_CLOSED } from '../errors.ts'
import { logAction, type Admin } from './admin-log-store.ts'
import type { InvitationStore } from './invitation-store.ts'
import type { Passwords } from './passwords.ts'
import type { NewAccount } from './schema.ts'
import type { AccountStore, Within } from './store.ts'
import { readUsername } from './username-store.ts'

export type SignIn = ReturnType<typeof createSignIn>

export interface SignInOptions {
  accounts: AccountStore
  passwords: Passwords
  invitations: InvitationStore
  /** Who may sign up. */
  policy: Config['SIGNUP']
}

/** Creates accounts and checks logins, for all routes that do so. */
export function createSignIn ({ accounts, passwords, invitations, policy }: SignInOptions) {
  /**
   * Checks whether somebody may sign up. Returns what else to do in the transaction that creates the account: using up the invitation.
   * @throws SIGNUP_CLOSED, INVITATION_REQUIRED, INVALID_INVITATION
   */
  async function admit (invitation: string | undefined): Promise<Within | undefined> {
    if (policy === 'open') return undefined
    if (policy === 'closed') throw new SIGNUP_CLOSED()
    if (invitation === undefined) throw new INVITATION_REQUIRED()
    await invitations.mustBeGood(invitation)
    return async (tx, userId) => { await invitations.redeem(tx, invitation, userId) }
  }

  return {
    policy,

    /**
     * Creates an account. With `guestId` it turns that guest into an account. All checks come before the password is hashed,
     * because hashing is slow.
     * @throws SIGNUP_CLOSED, INVITATION_REQUIRED, INVALID_INVITATION, INVALID_USERNAME, INVALID_PASSWORD, USERNAME_TAKEN
     */
    async signUp ({ password, invitation, ...sent }: NewAccount, guestId?: number) {
      const account = { ...sent, username: readUsername(sent.username) }
      const within = await admit(invitation)
      const hash = await passwords.hash(password)
      return guestId === undefined ? await accounts.create(account, hash, within) : await accounts.promote(guestId, account, hash, within)
    },

    /** Creates an account for somebody else, as an admin. @throws INVALID_USERNAME, INVALID_PASSWORD, USERNAME_TAKEN */
    async signUpFor (admin: Admin, { password, ...sent }: Omit<NewAccount, 'invitation'>) {
      const account = { ...sent, username: readUsername(sent.username) }
      return await accounts.create(account, await passwords.hash(password), (tx, userId) => logAction(tx, admin, 'user.create', { userId }))
    },

    /**
     * Checks a username and a password. Returns the user, and the hash that the password matched. Only a caller who knows the
     * password learns that the account is locked.
     * @throws INVALID_CREDENTIALS, after the same work for an unknown user as for a wrong password; ACCOUNT_LOCKED
     */
    async logIn (username: string, password: string) {
      const user = await accounts.findByUsername(username)
      if (!await passwords.verify(password, user?.passwordHash)) throw new INVALID_CREDENTIALS()
      const { id, username: name, passwordHash, lockedAt } = user!
      if (lockedAt !== null) throw new ACCOUNT_LOCKED()
      return { user: { id, username: name! }, provedHash: passwordHash! }
    }
  }
}
