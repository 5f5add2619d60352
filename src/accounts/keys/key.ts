import { createHash, randomBytes } from 'node:crypto'

export type KeyPrefix = 'pk_' | 'uk_'

/** Makes a key. Only its hash is to be stored, so that read access to the database is not enough to use a key. */
export function makeKey (prefix: KeyPrefix): { key: string, hash: string } {
  const key = `${prefix}${randomBytes(32).toString('base64url')}`
  return { key, hash: hashOf(key) }
}

/** The SHA-256 of a key, in hexadecimal. */
export function hashOf (key: string): string {
  return createHash('sha256').update(key).digest('hex')
}
