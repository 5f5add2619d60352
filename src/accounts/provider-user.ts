import { createHmac, hkdfSync } from 'node:crypto'

/**
 * Gives the name under which language models' providers know a user, for the `user` field of their APIs: always the same
 * for one user, so that a provider can act against abuse, and of no use to find out who the user is. It changes with the
 * secret.
 */
export function createProviderUser (secret: string): (userId: number) => string {
  const key = Buffer.from(hkdfSync('sha256', secret, '', 'user of a provider', 32))
  return userId => `u_${createHmac('sha256', key).update(String(userId)).digest('base64url').slice(0, 32)}`
}
