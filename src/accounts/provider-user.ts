import { createHmac, hkdfSync } from 'node:crypto'

/**
 * Makes a pseudonym of a user for the `user` field of providers' APIs. It is always the same for one user, so that a provider
 * can act against abuse, but does not reveal who the user is. It changes when the secret changes.
 */
export function createProviderUser (secret: string): (userId: number) => string {
  const key = Buffer.from(hkdfSync('sha256', secret, '', 'user of a provider', 32))
  return userId => `u_${createHmac('sha256', key).update(String(userId)).digest('base64url').slice(0, 32)}`
}
